/* Files: mapping, whole reads, atomic writes and what may go wrong with them; checksums; the machine. */
#include "unit_test.h"

#include <signal.h>
#include <sys/stat.h>

#include "base/system.h"

/* The folder holds exactly `expected` entries: no temporary is left. */
static void assert_entries(size_t expected)
{
    char **names = NULL;
    size_t n = 0;

    assert_ok(ons_list_dir(scratch, &names, &n));
    ons_free_names(names, n);
    assert_int_equal(n, expected);
}

static void assert_content(const char *path, const char *expected)
{
    char *text = NULL;
    size_t size = 0;

    assert_ok(ons_read_file(path, 1000, &text, &size));
    assert_int_equal(size, strlen(expected));
    assert_string_equal(text, expected);
    ons_free(text);
}

static void a_file_appears_only_when_complete(void **state)
{
    ons_writer w;

    (void)state;
    assert_ok(ons_writer_open(in_scratch("a"), &w));
    assert_ok(ons_writer_write(&w, "half", 4));
    assert_false(ons_path_exists(in_scratch("a")));
    ons_writer_abort(&w);
    ons_writer_abort(&w);
    assert_entries(0);
    assert_ok(ons_write_file(in_scratch("a"), "old", 3));
    assert_ok(ons_writer_open(in_scratch("a"), &w));
    assert_ok(ons_writer_write(&w, "new", 3));
    assert_content(in_scratch("a"), "old");
    assert_ok(ons_writer_commit(&w));
    assert_content(in_scratch("a"), "new");
    assert_entries(1);
}

static void a_full_disk_is_an_error_and_devices_stay(void **state)
{
    struct stat info;
    char bytes[100000] = {0};

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(ons_write_file("/dev/full", bytes, sizeof bytes), ONESTEP_IO);
    assert_error_has("/dev/full");
    assert_error_has("No space");
    assert_int_equal(ons_write_file("/dev/full", "x", 1), ONESTEP_IO); /* noticed at the flush */
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_ok(ons_write_file("/dev/null", "x", 1));
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void a_folder_without_permission_is_named(void **state)
{
    (void)state;
    if (geteuid() == 0)
        skip();
    assert_int_equal(mkdir(in_scratch("locked"), 0500), 0);
    assert_int_equal(ons_write_file(in_scratch("locked/x"), "x", 1), ONESTEP_IO);
    assert_error_has("locked/x");
    assert_int_equal(rmdir(in_scratch("locked")), 0);
}

static void missing_and_wrong_targets_are_named(void **state)
{
    ons_map map;
    char *text;
    size_t size;

    (void)state;
    assert_int_equal(ons_write_file(in_scratch("none/x"), "x", 1), ONESTEP_NOT_FOUND);
    assert_int_equal(ons_write_file(scratch, "x", 1), ONESTEP_IO);
    assert_int_equal(ons_map_open(in_scratch("none"), &map), ONESTEP_NOT_FOUND);
    assert_error_has("none");
    assert_int_equal(ons_map_open(scratch, &map), ONESTEP_IO);
    assert_error_has("folder");
    assert_int_equal(ons_read_file("/dev/null", 10, &text, &size), ONESTEP_IO);
    assert_ok(ons_write_file(in_scratch("b"), "0123456789", 10));
    assert_int_equal(ons_read_file(in_scratch("b"), 9, &text, &size), ONESTEP_BAD_FILE);
    assert_null(text);
}

static void maps_hold_the_bytes(void **state)
{
    ons_map map;

    (void)state;
    assert_ok(ons_write_file(in_scratch("m"), "mapped", 6));
    assert_ok(ons_map_open(in_scratch("m"), &map));
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "mapped", 6);
    ons_map_forget(&map, 0, 6);
    ons_map_forget(&map, 5, SIZE_MAX);
    assert_memory_equal(map.data, "mapped", 6);
    ons_map_close(&map);
    ons_map_close(&map);
    assert_ok(ons_write_file(in_scratch("empty"), "", 0));
    assert_ok(ons_map_open(in_scratch("empty"), &map));
    assert_null(map.data);
    ons_map_close(&map);
}

static void folders_are_made_listed_and_joined(void **state)
{
    char **names;
    size_t n;
    char *path = ons_path_join("a/", "b"), *plain = ons_path_join("", "b"),
         *absolute = ons_path_join("a", "/b");

    (void)state;
    assert_string_equal(path, "a/b");
    assert_string_equal(plain, "b");
    assert_string_equal(absolute, "/b");
    ons_free(path);
    ons_free(plain);
    ons_free(absolute);
    assert_ok(ons_make_dirs(in_scratch("x/y//z/")));
    assert_true(ons_path_is_dir(in_scratch("x/y/z")));
    assert_ok(ons_make_dirs(in_scratch("x/y")));
    assert_ok(ons_write_file(in_scratch("x/B"), "", 0));
    assert_ok(ons_write_file(in_scratch("x/a"), "1", 1));
    assert_int_equal(ons_make_dirs(in_scratch("x/a")), ONESTEP_IO);
    assert_int_equal(ons_make_dirs(in_scratch("x/a/b")), ONESTEP_IO);
    assert_ok(ons_list_dir(in_scratch("x"), &names, &n));
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "B");
    assert_string_equal(names[1], "a");
    assert_string_equal(names[2], "y");
    ons_free_names(names, n);
    assert_int_equal(ons_list_dir(in_scratch("no"), &names, &n), ONESTEP_NOT_FOUND);
    remove(in_scratch("x/a"));
    remove(in_scratch("x/B"));
    rmdir(in_scratch("x/y/z"));
    rmdir(in_scratch("x/y"));
}

static void checksums_match_the_standard(void **state)
{
    static char million[1000000];
    char hex[65];
    const struct {
        const char *text;
        size_t size;
        const char *digest;
    } cases[] = {
        {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {million, sizeof million, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };

    (void)state;
    memset(million, 'a', sizeof million);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_ok(ons_write_file(in_scratch("sha"), cases[i].text, cases[i].size));
        assert_ok(ons_sha256_file(in_scratch("sha"), hex));
        assert_string_equal(hex, cases[i].digest);
    }
    assert_int_equal(ons_sha256_file(in_scratch("none"), hex), ONESTEP_NOT_FOUND);
    assert_int_equal(ons_sha256_file(scratch, hex), ONESTEP_IO);
}

static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    for (long n = 1;; n++) {
        char *text = NULL;
        size_t size;
        ons_memory_fail_after(n);
        onestep_status st = ons_write_file(in_scratch("f"), "abc", 3);
        if (st == ONESTEP_OK)
            st = ons_read_file(in_scratch("f"), 100, &text, &size);
        ons_memory_fail_after(0);
        ons_free(text);
        if (st == ONESTEP_OK) {
            assert_true(n > 3);
            break;
        }
        assert_int_equal(st, ONESTEP_NO_MEMORY);
    }
}

static void the_machine_is_plausible(void **state)
{
    double before = ons_now_s();

    (void)state;
    assert_true(ons_physical_cores() >= 1 && ons_physical_cores() <= sysconf(_SC_NPROCESSORS_CONF));
    assert_true(ons_available_memory() > 1 << 20);
    assert_true(ons_peak_rss() > 1 << 18);
    assert_true(ons_now_s() >= before);
    assert_false(ons_interrupted());
    ons_catch_interrupts();
    raise(SIGINT);
    assert_true(ons_interrupted());
    ons_clear_interrupt();
    assert_false(ons_interrupted());
    ons_request_interrupt();
    assert_true(ons_interrupted());
    ons_clear_interrupt();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_only_when_complete),
        cmocka_unit_test(a_full_disk_is_an_error_and_devices_stay),
        cmocka_unit_test(a_folder_without_permission_is_named),
        cmocka_unit_test(missing_and_wrong_targets_are_named),
        cmocka_unit_test(maps_hold_the_bytes),
        cmocka_unit_test(folders_are_made_listed_and_joined),
        cmocka_unit_test(checksums_match_the_standard),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(the_machine_is_plausible),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
