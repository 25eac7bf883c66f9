/* Sources of energy over made-up counter trees: wrap-around, several zones, unreadable, absent, batteries,
 * declared watts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "energy/energy.h"

static char root[64];
static double clock_s;

static double read_clock(void)
{
    return clock_s;
}

static void put(const char *path, const char *text)
{
    char full[512], command[600];
    FILE *f;

    snprintf(full, sizeof full, "%s/class/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", full);
    assert_int_equal(system(command), 0);
    f = fopen(full, "w");
    assert_non_null(f);
    fprintf(f, "%s\n", text);
    fclose(f);
}

static void zone(const char *entry, const char *name, const char *range, const char *energy)
{
    char path[256];

    snprintf(path, sizeof path, "powercap/%s/name", entry);
    put(path, name);
    snprintf(path, sizeof path, "powercap/%s/max_energy_range_uj", entry);
    put(path, range);
    snprintf(path, sizeof path, "powercap/%s/energy_uj", entry);
    put(path, energy);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ons_energy_XXXXXX");
    clock_s = 100;
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static ons_energy *open_meter(double watts)
{
    ons_energy *e = NULL;

    assert_int_equal(ons_energy_open(root, watts, &e), ONESTEP_OK);
    ons_energy_set_clock(e, read_clock);
    return e;
}

static void assert_joules(ons_energy *e, double want)
{
    double got = ons_energy_joules(e);

    if (fabs(got - want) > 1e-9 * (fabs(want) + 1))
        fail_msg("%.12g J, expected %.12g", got, want);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' does not mention '%s'", text, part);
}

static void packages_are_summed(void **state)
{
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    zone("intel-rapl:0:0", "core", "1000000000", "4000000");
    zone("intel-rapl:1", "package-1", "1000000000", "7000000");
    zone("intel-rapl:2", "psys", "1000000000", "90000000");
    zone("intel-rapl-mmio:0", "package-0", "1000000000", "5000000");
    e = open_meter(0);
    assert_string_equal(ons_energy_source(e), "powercap: package-0 + package-1");
    assert_string_equal(ons_energy_advice(e), "");
    assert_true(ons_energy_is_fine_grained(e));
    assert_joules(e, 0);
    zone("intel-rapl:0", "package-0", "1000000000", "6500000");
    zone("intel-rapl:0:0", "core", "1000000000", "5400000");
    zone("intel-rapl:1", "package-1", "1000000000", "7250000");
    zone("intel-rapl:2", "psys", "1000000000", "99000000");
    zone("intel-rapl-mmio:0", "package-0", "1000000000", "6500000");
    assert_joules(e, 1.75);
    assert_joules(e, 1.75);
    ons_energy_close(&e);
    assert_null(e);
    ons_energy_close(&e);
}

static void platform_counts_where_no_package_does(void **state)
{
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "psys", "1000000000", "0");
    e = open_meter(0);
    assert_string_equal(ons_energy_source(e), "powercap: psys");
    zone("intel-rapl:0", "psys", "1000000000", "2000000");
    assert_joules(e, 2);
    ons_energy_close(&e);
}

static void counters_wrap(void **state)
{
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "262143328850", "262143000000");
    e = open_meter(0);
    zone("intel-rapl:0", "package-0", "262143328850", "671150");
    assert_joules(e, 1.0);
    zone("intel-rapl:0", "package-0", "262143328850", "1671150");
    assert_joules(e, 2.0);
    ons_energy_close(&e);
}

static void running_backwards_without_a_range_is_unknown(void **state)
{
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "not a number", "5000000");
    e = open_meter(0);
    zone("intel-rapl:0", "package-0", "not a number", "1000000");
    assert_joules(e, -1);
    assert_contains(ons_energy_advice(e), "backwards");
    ons_energy_close(&e);
}

static void a_counter_that_goes_away_is_unknown(void **state)
{
    char path[256];
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    e = open_meter(0);
    snprintf(path, sizeof path, "%s/class/powercap/intel-rapl:0/energy_uj", root);
    assert_int_equal(unlink(path), 0);
    assert_joules(e, -1);
    ons_energy_close(&e);
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    e = open_meter(20);
    assert_int_equal(unlink(path), 0);
    clock_s += 3;
    assert_joules(e, 60);
    assert_string_equal(ons_energy_source(e), "declared: 20 W");
    ons_energy_close(&e);
}

/* A folder in the file's place fails for root too; without root the mode is what the kernel ships (0400). */
static void unreadable_counters_are_said_plainly(void **state)
{
    char path[256];
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    snprintf(path, sizeof path, "%s/class/powercap/intel-rapl:0/energy_uj", root);
    if (geteuid() == 0) {
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkdir(path, 0700), 0);
    } else {
        assert_int_equal(chmod(path, 0), 0);
    }
    e = open_meter(0);
    assert_string_equal(ons_energy_source(e), "none");
    assert_contains(ons_energy_advice(e), "intel-rapl:0/energy_uj");
    assert_contains(ons_energy_advice(e), geteuid() == 0 ? "cannot be read" : "sudo chmod a+r");
    assert_contains(ons_energy_advice(e), "--watts");
    assert_joules(e, -1);
    ons_energy_close(&e);
}

static void absent_counters_are_said_plainly(void **state)
{
    ons_energy *e = open_meter(0);

    (void)state;
    assert_string_equal(ons_energy_source(e), "none");
    assert_contains(ons_energy_advice(e), "no powercap counter");
    assert_contains(ons_energy_advice(e), "no battery");
    assert_contains(ons_energy_advice(e), "--watts");
    assert_false(ons_energy_is_fine_grained(e));
    assert_joules(e, -1);
    ons_energy_close(&e);
}

static void declared_watts_are_labelled(void **state)
{
    ons_energy *e = open_meter(65);

    (void)state;
    assert_string_equal(ons_energy_source(e), "declared: 65 W");
    assert_contains(ons_energy_advice(e), "no powercap counter");
    clock_s += 2.5;
    assert_joules(e, 162.5);
    ons_energy_close(&e);
}

static void counters_come_before_declared_watts(void **state)
{
    ons_energy *e;

    (void)state;
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    e = open_meter(65);
    clock_s += 10;
    zone("intel-rapl:0", "package-0", "1000000000", "6000000");
    assert_joules(e, 1);
    assert_string_equal(ons_energy_source(e), "powercap: package-0");
    ons_energy_close(&e);
}

static void batteries_count_by_energy(void **state)
{
    ons_energy *e;

    (void)state;
    put("power_supply/AC/type", "Mains");
    put("power_supply/mouse/type", "Battery");
    put("power_supply/mouse/scope", "Device");
    put("power_supply/mouse/status", "Discharging");
    put("power_supply/mouse/energy_now", "1000");
    put("power_supply/BAT0/type", "Battery");
    put("power_supply/BAT0/status", "Discharging");
    put("power_supply/BAT0/energy_now", "50000000");
    e = open_meter(0);
    assert_string_equal(ons_energy_source(e), "battery: BAT0");
    assert_false(ons_energy_is_fine_grained(e));
    clock_s += 59;
    put("power_supply/BAT0/energy_now", "49900000");
    assert_joules(e, -1); /* too short to mean anything */
    assert_contains(ons_energy_advice(e), "60 s");
    clock_s += 2;
    assert_joules(e, 360); /* 0.1 Wh */
    assert_string_equal(ons_energy_advice(e), "");
    put("power_supply/BAT0/status", "Charging");
    assert_joules(e, -1);
    assert_contains(ons_energy_advice(e), "stopped discharging");
    put("power_supply/BAT0/status", "Discharging");
    assert_joules(e, -1);
    ons_energy_close(&e);
}

static void batteries_count_by_charge(void **state)
{
    ons_energy *e;

    (void)state;
    put("power_supply/BAT1/type", "Battery");
    put("power_supply/BAT1/status", "Discharging");
    put("power_supply/BAT1/charge_now", "3000000");
    put("power_supply/BAT1/voltage_now", "12000000");
    e = open_meter(10);
    clock_s += 30;
    assert_joules(e, 300); /* declared, until the battery's figure means something */
    assert_string_equal(ons_energy_source(e), "declared: 10 W");
    clock_s += 40;
    put("power_supply/BAT1/charge_now", "2900000");
    put("power_supply/BAT1/voltage_now", "11000000");
    assert_joules(e, 0.1 * 11.5 * 3600);
    assert_string_equal(ons_energy_source(e), "battery: BAT1");
    ons_energy_close(&e);
}

static void a_full_battery_is_no_source(void **state)
{
    ons_energy *e;

    (void)state;
    put("power_supply/BAT0/type", "Battery");
    put("power_supply/BAT0/status", "Full");
    put("power_supply/BAT0/energy_now", "50000000");
    e = open_meter(0);
    assert_string_equal(ons_energy_source(e), "none");
    assert_contains(ons_energy_advice(e), "not discharging");
    ons_energy_close(&e);
}

static void the_environment_names_the_tree(void **state)
{
    ons_energy *e = NULL;

    (void)state;
    zone("intel-rapl:0", "package-0", "1000000000", "5000000");
    setenv("ONESTEP_SYSFS", root, 1);
    assert_int_equal(ons_energy_open(NULL, 0, &e), ONESTEP_OK);
    unsetenv("ONESTEP_SYSFS");
    assert_string_equal(ons_energy_source(e), "powercap: package-0");
    ons_energy_close(&e);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, make_root, remove_root)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(packages_are_summed),
        CASE(platform_counts_where_no_package_does),
        CASE(counters_wrap),
        CASE(running_backwards_without_a_range_is_unknown),
        CASE(a_counter_that_goes_away_is_unknown),
        CASE(unreadable_counters_are_said_plainly),
        CASE(absent_counters_are_said_plainly),
        CASE(declared_watts_are_labelled),
        CASE(counters_come_before_declared_watts),
        CASE(batteries_count_by_energy),
        CASE(batteries_count_by_charge),
        CASE(a_full_battery_is_no_source),
        CASE(the_environment_names_the_tree),
    };

    return cmocka_run_group_tests_name("energy", tests, NULL, NULL);
}
