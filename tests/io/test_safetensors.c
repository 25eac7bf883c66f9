/* safetensors: what is written is read back; files that are cut, lie or are something else are refused with a
 * reason. */
#include "../unit/unit_test.h"

#include <jansson.h>

#include "io/safetensors.h"

/* A file of a header, its length as told, and n_data bytes 0, 1, 2...; returns its path. */
static const char *make_file(const char *header, uint64_t told, size_t n_data)
{
    const char *path = in_scratch("t.safetensors");
    size_t n = strlen(header);
    unsigned char *bytes = malloc(8 + n + n_data);

    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(told >> 8 * i);
    memcpy(bytes + 8, header, n);
    for (size_t i = 0; i < n_data; i++)
        bytes[8 + n + i] = (unsigned char)i;
    assert_ok(ons_write_file(path, bytes, 8 + n + n_data));
    free(bytes);
    return path;
}

static void assert_refused(const char *path, const char *reason)
{
    ons_safetensors *f = NULL;

    assert_int_equal(ons_safetensors_open(path, &f), ONESTEP_BAD_FILE);
    assert_null(f);
    if (!strstr(onestep_error_text(), reason) || !strstr(onestep_error_text(), scratch))
        fail_msg("\"%s\" lacks \"%s\" or the path", onestep_error_text(), reason);
}

static void assert_header_refused(const char *header, size_t n_data, const char *reason)
{
    assert_refused(make_file(header, strlen(header), n_data), reason);
}

#define TENSOR(name, type, shape, begin, end)                                                                  \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static void good_files_are_read(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"n\":\"3\"}," TENSOR("b", "F32", "[2,1]", "4", "12") "," TENSOR(
            "a", "U8", "[4]", "0", "4") "," TENSOR("s", "I64", "[]", "12", "20") "," TENSOR("e", "F16", "[0,3]",
                                                                                            "12", "12") "}";
    ons_safetensors *f = NULL;

    (void)state;
    assert_ok(ons_safetensors_open(make_file(header, sizeof header - 1, 20), &f));
    assert_int_equal(ons_safetensors_count(f), 4);
    assert_string_equal(ons_safetensors_at(f, 0)->name, "a");
    const ons_file_tensor *b = ons_safetensors_find(f, "b"), *s = ons_safetensors_find(f, "s");
    assert_int_equal(b->dtype, ONS_F32);
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->dims[0], 2);
    assert_int_equal(b->size, 8);
    assert_int_equal(((const unsigned char *)b->data)[0], 4);
    assert_int_equal(s->n_dims, 0);
    assert_int_equal(s->size, 8);
    assert_int_equal(ons_safetensors_find(f, "e")->size, 0);
    assert_null(ons_safetensors_find(f, "c"));
    assert_string_equal(ons_safetensors_metadata(f, "n"), "3");
    assert_null(ons_safetensors_metadata(f, "m"));
    ons_safetensors_close(&f);
    ons_safetensors_close(&f);
}

static void cut_files_say_how_much_is_missing(void **state)
{
    static const char header[] = "{" TENSOR("a", "F32", "[4]", "0", "16") "}";

    (void)state;
    assert_refused(make_file(header, sizeof header - 1, 9), "7 bytes are missing");
    assert_refused(make_file(header, sizeof header - 1 + 100, 0), "100 bytes are missing");
    /* All of it, not what the first tensor lacks. */
    static const char two[] =
        "{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR("b", "F32", "[4]", "16", "32") "}";
    assert_refused(make_file(two, sizeof two - 1, 9), "23 bytes are missing");
    assert_refused(make_file("", 0, 0), "JSON");
    assert_ok(ons_write_file(in_scratch("t.safetensors"), "1234567", 7));
    assert_refused(in_scratch("t.safetensors"), "7 bytes");
    assert_ok(ons_write_file(in_scratch("t.safetensors"), "", 0));
    assert_refused(in_scratch("t.safetensors"), "0 bytes");
}

static void lying_headers_are_refused(void **state)
{
    (void)state;
    assert_header_refused("{" TENSOR("a", "F32", "[4]", "0", "12") "}", 16, "16");
    assert_header_refused("{" TENSOR("a", "F32", "[4]", "-4", "12") "}", 16, "data_offsets");
    assert_header_refused("{" TENSOR("a", "F32", "[4]", "16", "0") "}", 16, "data_offsets");
    assert_header_refused("{" TENSOR("a", "F32", "[-4]", "0", "16") "}", 16, "dimension");
    assert_header_refused("{" TENSOR("a", "F32", "[4.0]", "0", "16") "}", 16, "dimension");
    assert_header_refused("{" TENSOR("a", "F32", "4", "0", "16") "}", 16, "shape");
    assert_header_refused("{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,4]", "0", "16") "}", 16, "8 dimensions");
    assert_header_refused("{" TENSOR("a", "C64", "[2]", "0", "16") "}", 16, "C64");
    assert_header_refused("{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", 16, "type");
    assert_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", 16, "data_offsets");
    assert_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", 16, "data_offsets");
    assert_header_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}", 16,
                          "data_offsets");
    assert_header_refused("{\"a\":7}", 16, "a");
    assert_header_refused("[1,2]", 16, "object");
    assert_header_refused("{\"a\":", 16, "JSON");
}

static void overlaps_and_overflows_are_refused(void **state)
{
    (void)state;
    assert_header_refused(
        "{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR("b", "F32", "[2]", "12", "20") "}", 20, "overlap");
    assert_header_refused("{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR("b", "F32", "[4]", "0", "16") "}",
                          16, "overlap");
    assert_header_refused("{" TENSOR("a", "F32", "[4]", "0", "16") "," TENSOR(
                              "b", "F32", "[0]", "8", "8") "," TENSOR("c", "U8", "[1]", "9", "10") "}",
                          16, "overlap");
    assert_header_refused("{" TENSOR("a", "F32", "[4294967296,4294967296]", "0", "0") "}", 16, "overflow");
    assert_header_refused("{" TENSOR("a", "F32", "[4611686018427387904]", "0", "0") "}", 16, "overflow");
    assert_header_refused("{" TENSOR("a", "F32", "[99999999999999999999]", "0", "0") "}", 16, "JSON");
    assert_header_refused("{" TENSOR("a", "U8", "[9223372036854775807]", "0", "9223372036854775807") "}", 16,
                          "missing");
}

static void duplicate_names_are_refused(void **state)
{
    (void)state;
    assert_header_refused("{" TENSOR("a", "U8", "[1]", "0", "1") "," TENSOR("a", "U8", "[1]", "1", "2") "}", 2,
                          "a");
}

static void a_small_file_cannot_claim_much(void **state)
{
    static const char header[] = "{" TENSOR("a", "F32", "[26843545600]", "0", "107374182400") "}";

    (void)state;
    assert_refused(make_file(header, sizeof header - 1, 900), "missing");
    assert_refused(make_file("{}", UINT64_C(107374182400), 1000), "107374182400");
    assert_refused(make_file("{}", UINT64_MAX, 1000), "18446744073709551615");
    assert_refused(make_file("{}", 100 << 20, 1000), "missing");
}

static void deep_nesting_is_refused(void **state)
{
    enum { DEPTH = 1000000 };
    char *deep = malloc(DEPTH + 1);

    (void)state;
    assert_non_null(deep);
    memset(deep, '[', DEPTH);
    deep[DEPTH] = '\0';
    memcpy(deep, "{\"a\":", 5);
    assert_header_refused(deep, 0, "JSON");
    free(deep);
}

static void other_formats_are_refused_by_content(void **state)
{
    (void)state;
    assert_ok(ons_write_file(in_scratch("z.safetensors"), "PK\3\4rest of a zip", 17));
    assert_refused(in_scratch("z.safetensors"), "pickle");
    assert_error_has("run code");
    assert_error_has("safetensors.torch");
    assert_ok(ons_write_file(in_scratch("z.safetensors"), "\x80\x02}q\x01.", 6));
    assert_refused(in_scratch("z.safetensors"), "pickle");
    assert_ok(ons_write_file(in_scratch("z.safetensors"), "GGUF\3\0\0\0\0\0\0\0", 12));
    assert_refused(in_scratch("z.safetensors"), "GGUF");
}

/* What lies in a file's place when fetching it went wrong. */
static void failed_downloads_are_named(void **state)
{
    static const char lfs[] =
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123456789abcdef\nsize 3438167536\n";
    static const char zeros[80];
    static const struct {
        const char *content;
        size_t size;
        const char *word, *other;
    } table[] = {
        {lfs, sizeof lfs - 1, "3438167536 bytes", "git lfs pull"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "Git LFS", "unknown"},
        {"<!DOCTYPE html>\n<html>", 22, "<!DOCTYPE html>", "Fetch the file again"},
        {"Entry not found", 15, "Entry not found", "15 bytes of text"},
        {zeros, sizeof zeros, "begins with zeros", "80 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_ok(ons_write_file(in_scratch("d.safetensors"), table[i].content, table[i].size));
        assert_refused(in_scratch("d.safetensors"), table[i].word);
        assert_error_has(table[i].other);
    }
}

/* A header of 640 bytes makes a file start with 80 02, as a pickle does. */
static void a_length_that_looks_like_a_pickle_is_none(void **state)
{
    char header[641];
    ons_safetensors *f = NULL;

    (void)state;
    memset(header, ' ', sizeof header);
    memcpy(header, "{}", 2);
    header[640] = '\0';
    assert_ok(ons_safetensors_open(make_file(header, 640, 0), &f));
    assert_int_equal(ons_safetensors_count(f), 0);
    ons_safetensors_close(&f);
}

static onestep_status write_pair(const char *path, const char *first, const char *second)
{
    const int64_t dims[] = {3};
    ons_safetensors_writer *w = NULL;
    onestep_status st;

    ONS_TRY(ons_safetensors_writer_create(&w));
    ONS_TRY(ons_safetensors_writer_metadata(w, "made", "here"));
    ONS_TRY(ons_safetensors_writer_add(w, first, ONS_U8, 1, dims));
    ONS_TRY(ons_safetensors_writer_add(w, second, ONS_F32, 1, dims));
    ONS_TRY(ons_safetensors_writer_begin(w, path));
    ONS_TRY(ons_safetensors_writer_data(w, "abc", 3));
    ONS_TRY(ons_safetensors_writer_data(w, "0123456789AB", 12));
    ONS_TRY(ons_safetensors_writer_commit(w));
fail:
    ons_safetensors_writer_destroy(&w);
    return st;
}

static void written_files_are_read_back(void **state)
{
    ons_safetensors *f = NULL;

    (void)state;
    assert_ok(write_pair(in_scratch("w.safetensors"), "x", "y \"quoted\" \xC3\xA9"));
    assert_ok(ons_safetensors_open(in_scratch("w.safetensors"), &f));
    assert_memory_equal(ons_safetensors_find(f, "x")->data, "abc", 3);
    assert_memory_equal(ons_safetensors_find(f, "y \"quoted\" \xC3\xA9")->data, "0123456789AB", 12);
    assert_string_equal(ons_safetensors_metadata(f, "made"), "here");
    ons_safetensors_close(&f);
}

static void an_incomplete_file_never_appears(void **state)
{
    const int64_t dims[] = {3};
    ons_safetensors_writer *w = NULL;

    (void)state;
    remove(in_scratch("w.safetensors"));
    assert_ok(ons_safetensors_writer_create(&w));
    assert_ok(ons_safetensors_writer_add(w, "x", ONS_U8, 1, dims));
    assert_ok(ons_safetensors_writer_begin(w, in_scratch("w.safetensors")));
    assert_ok(ons_safetensors_writer_data(w, "ab", 2));
    assert_int_equal(ons_safetensors_writer_commit(w), ONESTEP_INTERNAL);
    ons_safetensors_writer_destroy(&w);
    assert_false(ons_path_exists(in_scratch("w.safetensors")));
}

static void write_text(const char *name, const char *text)
{
    assert_ok(ons_write_file(in_scratch(name), text, strlen(text)));
}

static void parts_are_found_in_their_variants(void **state)
{
    ons_safetensors *f = NULL;

    (void)state;
    assert_int_equal(ons_safetensors_open_part(scratch, "part", &f), ONESTEP_NOT_FOUND);
    write_text("part.bin", "x");
    assert_int_equal(ons_safetensors_open_part(scratch, "part", &f), ONESTEP_BAD_FILE);
    assert_error_has("pickle");
    assert_ok(write_pair(in_scratch("part.fp16.safetensors"), "half", "b"));
    assert_ok(ons_safetensors_open_part(scratch, "part", &f));
    assert_non_null(ons_safetensors_find(f, "half"));
    ons_safetensors_close(&f);
    assert_ok(write_pair(in_scratch("part.safetensors"), "full", "b"));
    assert_ok(ons_safetensors_open_part(scratch, "part", &f));
    assert_non_null(ons_safetensors_find(f, "full"));
    ons_safetensors_close(&f);
}

static void shards_open_as_one_set(void **state)
{
    static const char *const names[] = {"m.safetensors.index.json", "m.safetensors.index.fp16.json"};
    ons_safetensors *f = NULL;

    (void)state;
    assert_ok(write_pair(in_scratch("m-1.safetensors"), "a", "b"));
    assert_ok(write_pair(in_scratch("m-2.safetensors"), "c", "d"));
    for (int i = 0; i < 2; i++) {
        write_text(names[i], "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-1.safetensors\","
                             "\"c\":\"m-2.safetensors\",\"d\":\"m-2.safetensors\"}}");
        assert_ok(ons_safetensors_open_part(scratch, "m", &f));
        assert_int_equal(ons_safetensors_count(f), 4);
        assert_memory_equal(ons_safetensors_find(f, "d")->data, "0123456789AB", 12);
        ons_safetensors_close(&f);
        remove(in_scratch(names[i]));
    }
    write_text(names[0], "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}");
    assert_int_equal(ons_safetensors_open_part(scratch, "m", &f), ONESTEP_BAD_FILE);
    write_text(names[0], "{\"weight_map\":{\"a\":\"gone.safetensors\"}}");
    assert_int_equal(ons_safetensors_open_part(scratch, "m", &f), ONESTEP_NOT_FOUND);
    assert_error_has("gone");
    write_text(names[0], "{\"map\":{}}");
    assert_int_equal(ons_safetensors_open_part(scratch, "m", &f), ONESTEP_BAD_FILE);
    assert_ok(write_pair(in_scratch("m-2.safetensors"), "a", "d"));
    write_text(names[0], "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"d\":\"m-2.safetensors\"}}");
    assert_int_equal(ons_safetensors_open_part(scratch, "m", &f), ONESTEP_BAD_FILE);
    assert_error_has("twice");
    assert_null(f);
}

static onestep_status open_fault(void)
{
    ons_safetensors *f = NULL;
    onestep_status st = ons_safetensors_open_part(scratch, "fault", &f);

    ons_safetensors_close(&f);
    return st;
}

static onestep_status write_fault(void)
{
    return write_pair(in_scratch("fault-1.safetensors"), "a", "b");
}

/* Makes each allocation of `call` fail in turn; returns how many there are. */
static long fail_each(onestep_status (*call)(void))
{
    onestep_status st = ONESTEP_NO_MEMORY;
    long n = 0;

    while (st == ONESTEP_NO_MEMORY) {
        ons_memory_fail_after(++n);
        st = call();
        ons_memory_fail_after(0);
    }
    assert_ok(st);
    return n - 1;
}

/*
 * While writing Jansson's allocations take part too. While parsing they do not: its scanner drops a character
 * when its buffer cannot grow and goes on, which nobody outside can tell from a file that says so.
 */
static void every_failing_allocation_is_survived(void **state)
{
    (void)state;
    write_text("fault.safetensors.index.json",
               "{\"weight_map\":{\"a\":\"fault-1.safetensors\",\"b\":\"fault-1.safetensors\"}}");
    json_set_alloc_funcs(ons_malloc, ons_free);
    long n = fail_each(write_fault);
    json_set_alloc_funcs(malloc, free);
    assert_true(n > 20);
    assert_true(fail_each(open_fault) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(cut_files_say_how_much_is_missing),
        cmocka_unit_test(lying_headers_are_refused),
        cmocka_unit_test(overlaps_and_overflows_are_refused),
        cmocka_unit_test(duplicate_names_are_refused),
        cmocka_unit_test(a_small_file_cannot_claim_much),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(other_formats_are_refused_by_content),
        cmocka_unit_test(failed_downloads_are_named),
        cmocka_unit_test(a_length_that_looks_like_a_pickle_is_none),
        cmocka_unit_test(written_files_are_read_back),
        cmocka_unit_test(an_incomplete_file_never_appears),
        cmocka_unit_test(parts_are_found_in_their_variants),
        cmocka_unit_test(shards_open_as_one_set),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
