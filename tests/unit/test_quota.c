/* Quotas of CPU time, as cgroups of both versions state them, in a made-up tree. */
#include "unit_test.h"

#include "base/system.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char full[256], command[300];
    FILE *f;

    snprintf(full, sizeof full, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", full);
    assert_int_equal(system(command), 0);
    f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ons_quota_XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[96];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void no_tree_is_no_quota(void **state)
{
    (void)state;
    assert_true(ons_quota_cores(root) == 0);
    put("proc/self/cgroup", "0::/job\nnonsense\n");
    assert_true(ons_quota_cores(root) == 0);
}

static void the_second_version_counts_every_group_above(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/slice/job\n");
    put("sys/fs/cgroup/slice/job/cpu.max", "max 100000\n");
    assert_true(ons_quota_cores(root) == 0);
    put("sys/fs/cgroup/slice/job/cpu.max", "300000 100000\n");
    assert_true(ons_quota_cores(root) == 3);
    put("sys/fs/cgroup/slice/cpu.max", "150000 100000\n");
    assert_true(ons_quota_cores(root) == 1.5);
    put("sys/fs/cgroup/cpu.max", "50000 100000\n"); /* a container's own group, mounted as the root */
    assert_true(ons_quota_cores(root) == 0.5);
}

static void the_first_version_has_two_files(void **state)
{
    (void)state;
    put("proc/self/cgroup", "4:memory:/a\n3:cpuset:/b\n2:cpu,cpuacct:/docker/c\n0::/\n");
    put("sys/fs/cgroup/cpu/docker/c/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/docker/c/cpu.cfs_period_us", "100000\n");
    assert_true(ons_quota_cores(root) == 0);
    put("sys/fs/cgroup/cpu/docker/c/cpu.cfs_quota_us", "200000\n");
    assert_true(ons_quota_cores(root) == 2);
    put("sys/fs/cgroup/cpu/docker/c/cpu.cfs_period_us", "0\n");
    assert_true(ons_quota_cores(root) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_tree_is_no_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_second_version_counts_every_group_above, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_first_version_has_two_files, make_root, remove_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
