/* Data sets in folders, metadata.jsonl and shards; broken pictures, Latin-1, empty sets; draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "data/dataset.h"
#include "data/picture.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/onestep-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *command = ons_format("rm -r %s", folder);
    const int rc = system(command);
    (void)state;
    ons_free(command);
    return rc;
}

static void put(const char *name, const void *data, size_t size)
{
    char *path = ons_path_join(folder, name);
    assert_int_equal(ons_write_file(path, data, size), ONESTEP_OK);
    ons_free(path);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* A 16x16 picture of one colour. */
static void put_picture(const char *name, uint8_t r, uint8_t g, uint8_t b)
{
    uint8_t rgb[16 * 16 * 3];
    char *path = ons_path_join(folder, name);
    for (size_t i = 0; i < sizeof rgb; i += 3) {
        rgb[i] = r;
        rgb[i + 1] = g;
        rgb[i + 2] = b;
    }
    assert_int_equal(ons_picture_save(path, rgb, 16), ONESTEP_OK);
    ons_free(path);
}

static ons_dataset *open_path(const char *path, int size, bool heldout)
{
    ons_dataset *d = NULL;
    const ons_dataset_options options = {.size = size, .include_heldout = heldout};
    if (ons_dataset_open(path, &options, &d) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    return d;
}

static void test_folder_with_texts(void **state)
{
    (void)state;
    put_picture("b.png", 200, 10, 30);
    put_text("b.txt", "\xef\xbb\xbf a red square \r\nred\n\n");
    put_picture("a.png", 1, 2, 3);
    put_text("a.txt", "caf\xe9");  /* Latin-1 */
    put_picture("c.png", 0, 0, 0); /* no caption */
    put_text("broken.png", "\x89PNG\r\n\x1a\nnothing");
    put_text("broken.txt", "broken");
    put_text("other.jpg", "not a picture");
    put_text("other.txt", "other");
    ons_dataset *d = open_path(folder, 8, false);
    assert_int_equal(ons_dataset_count(d), 2);
    assert_int_equal(ons_dataset_n_broken(d), 2);
    assert_true(ons_dataset_has_pictures(d));
    const ons_item *a = ons_dataset_at(d, 0), *b = ons_dataset_at(d, 1);
    assert_string_equal(a->captions[0], "caf\xc3\xa9");
    assert_int_equal(b->n_captions, 2);
    assert_string_equal(b->captions[0], "a red square");
    assert_string_equal(b->captions[1], "red");
    assert_int_equal(b->rgb[0], 200);
    assert_int_equal(b->rgb[8 * 8 * 3 - 1], 30);
    ons_dataset_close(&d);
    d = open_path(folder, 0, false);
    assert_false(ons_dataset_has_pictures(d));
    assert_null(ons_dataset_at(d, 0)->rgb);
    ons_dataset_close(&d);
}

static void test_metadata(void **state)
{
    size_t n;
    (void)state;
    put_picture("1.png", 10, 0, 0);
    put_picture("2.png", 20, 0, 0);
    put_text("metadata.jsonl",
             "{\"file_name\":\"2.png\",\"text\":\"two\",\"keywords\":[\"number\",\"even\"]}\n\n"
             "{\"file_name\":\"1.png\",\"text\":\"one\",\"split\":\"heldout\"}\n"
             "{\"file_name\":\"3.png\",\"text\":\"three\"}\n");
    put_text("heldout.txt", "one\n");
    ons_dataset *d = open_path(folder, 16, false);
    assert_int_equal(ons_dataset_count(d), 1);
    assert_int_equal(ons_dataset_n_broken(d), 1); /* 3.png is missing */
    assert_int_equal(ons_dataset_at(d, 0)->n_captions, 3);
    assert_string_equal(ons_dataset_heldout(d, &n)[0], "one");
    assert_int_equal(n, 1);
    assert_null(ons_dataset_ambiguous(d, &n));
    assert_int_equal(n, 0);
    ons_dataset_close(&d);
    d = open_path(folder, 16, true);
    assert_int_equal(ons_dataset_count(d), 2);
    assert_true(ons_dataset_at(d, 1)->heldout);
    assert_int_equal(ons_dataset_at(d, 1)->rgb[0], 10);
    ons_dataset_close(&d);
}

static void test_metadata_damaged(void **state)
{
    const ons_dataset_options options = {.size = 8};
    ons_dataset *d = NULL;
    (void)state;
    put_text("metadata.jsonl", "{\"file_name\":\"1.png\",\"text\":\"one\"}\n{\"file_name\":");
    assert_int_equal(ons_dataset_open(folder, &options, &d), ONESTEP_BAD_FILE);
    assert_non_null(strstr(onestep_error_text(), "line 2"));
    put_text("metadata.jsonl", "{\"text\":\"one\"}\n");
    assert_int_equal(ons_dataset_open(folder, &options, &d), ONESTEP_BAD_FILE);
    assert_null(d);
}

static void add_entry(struct archive *a, const char *name, const void *data, size_t size)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)size);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, data, size), (la_ssize_t)size);
    archive_entry_free(entry);
}

static void write_shard(const char *path)
{
    char *picture_path = ons_path_join(folder, "x.png"), *png;
    size_t size;
    struct archive *a = archive_write_new();
    put_picture("x.png", 9, 8, 7);
    assert_int_equal(ons_read_file(picture_path, 1 << 20, &png, &size), ONESTEP_OK);
    archive_write_set_format_ustar(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    add_entry(a, "d/0001.txt", "first", 5);
    add_entry(a, "d/0001.png", png, size);
    add_entry(a, "d/0001.seg.png", "a mask, not the picture", 23);
    add_entry(a, "d/0002.png", png, size);
    add_entry(a, "d/0002.json", "{\"caption\":\"second\"}", 20);
    add_entry(a, "d/0003.png", png, size); /* no caption */
    add_entry(a, "d/0004.png", "nothing", 7);
    add_entry(a, "d/0004.txt", "broken", 6);
    archive_write_free(a);
    ons_free(png);
    remove(picture_path);
    ons_free(picture_path);
}

static void test_shards(void **state)
{
    char *text, *path = ons_path_join(folder, "00.tar");
    size_t size;
    (void)state;
    write_shard(path);
    ons_dataset *d = open_path(folder, 16, false); /* found inside a folder */
    assert_int_equal(ons_dataset_count(d), 2);
    ons_dataset_close(&d);
    d = open_path(path, 16, false);
    assert_int_equal(ons_dataset_count(d), 2);
    assert_int_equal(ons_dataset_n_broken(d), 1);
    assert_string_equal(ons_dataset_at(d, 0)->captions[0], "first");
    assert_string_equal(ons_dataset_at(d, 1)->captions[0], "second");
    assert_int_equal(ons_dataset_at(d, 1)->rgb[2], 7);
    ons_dataset_close(&d);
    /* Cut short: what came before the damage is used. */
    assert_int_equal(ons_read_file(path, 1 << 20, &text, &size), ONESTEP_OK);
    put("01.tar", text, 512 + 512 + 512 + 512 + 512 + 100);
    ons_free(path);
    path = ons_path_join(folder, "01.tar");
    d = open_path(path, 16, false);
    assert_int_equal(ons_dataset_count(d), 1);
    ons_dataset_close(&d);
    ons_free(text);
    ons_free(path);
}

static void test_empty_and_missing(void **state)
{
    const ons_dataset_options options = {.size = 8};
    ons_dataset *d = NULL;
    (void)state;
    assert_int_equal(ons_dataset_open(folder, &options, &d), ONESTEP_BAD_FILE);
    assert_int_equal(ons_dataset_open("/nonexistent", &options, &d), ONESTEP_NOT_FOUND);
    put("binary", "a\0b", 3);
    char *path = ons_path_join(folder, "binary");
    assert_int_equal(ons_dataset_open(path, &options, &d), ONESTEP_BAD_FILE);
    ons_free(path);
    assert_null(d);
}

static void test_caption_file(void **state)
{
    char *path = ons_path_join(folder, "captions");
    (void)state;
    put_text("captions", "one\n\n two\nthree");
    ons_dataset *d = open_path(path, 64, false);
    assert_int_equal(ons_dataset_count(d), 3);
    assert_false(ons_dataset_has_pictures(d));
    assert_string_equal(ons_dataset_at(d, 1)->captions[0], "two");
    ons_dataset_close(&d);
    ons_free(path);
}

enum { N_ITEMS = 37, N_EPOCHS = 300 };

static ons_dataset *open_numbered(void)
{
    char text[4096] = "";
    for (int i = 0; i < N_ITEMS; i++) {
        char line[100];
        snprintf(line, sizeof line,
                 "{\"file_name\":\"%d.png\",\"text\":\"name %d\",\"keywords\":[\"k\",\"l\"]}\n", i, i);
        strcat(text, line);
    }
    put_text("metadata.jsonl", text);
    return open_path(folder, 0, false);
}

static void test_draws(void **state)
{
    ons_dataset *d = open_numbered();
    int n_empty = 0, n_keyword = 0, n_first = 0, same_order = 0;
    size_t previous[N_ITEMS] = {0};
    (void)state;
    for (uint64_t epoch = 0; epoch < N_EPOCHS; epoch++) {
        bool seen[N_ITEMS] = {false};
        for (uint64_t i = 0; i < N_ITEMS; i++) {
            const ons_caption_draw draw = ons_dataset_draw(d, 5, epoch * N_ITEMS + i, 0.1, 0.35);
            assert_true(draw.item < N_ITEMS && !seen[draw.item]);
            seen[draw.item] = true;
            same_order += previous[i] == draw.item;
            previous[i] = draw.item;
            n_empty += *draw.caption == '\0';
            n_keyword += *draw.caption == 'k' || *draw.caption == 'l';
            n_first += *draw.caption == 'k';
        }
    }
    const double n = N_ITEMS * N_EPOCHS;
    assert_true(n_empty > 0.08 * n && n_empty < 0.12 * n);
    assert_true(n_keyword >= n / 3 - 0.02 * n && n_keyword < 0.38 * n);
    assert_true(n_first > 0.4 * n_keyword && n_first < 0.6 * n_keyword);
    assert_true(same_order < 0.06 * n); /* one in 37 by chance */
    ons_dataset_close(&d);
}

/* A picture with "repeats": 3 comes three times an epoch, and once in the even stream. */
static void test_repeats(void **state)
{
    (void)state;
    put_text("metadata.jsonl", "{\"file_name\":\"0.png\",\"text\":\"once\"}\n"
                               "{\"file_name\":\"1.png\",\"text\":\"thrice\",\"repeats\":3}\n");
    ons_dataset *d = open_path(folder, 0, false);
    for (uint64_t epoch = 0; epoch < 20; epoch++) {
        int weighted[2] = {0}, even[2] = {0};
        for (uint64_t i = 0; i < 4; i++)
            weighted[ons_dataset_draw(d, 5, epoch * 4 + i, 0, 0).item]++;
        for (uint64_t i = 0; i < 2; i++)
            even[ons_dataset_draw_even(d, 5, epoch * 2 + i, 0, 0).item]++;
        assert_true(weighted[0] == 1 && weighted[1] == 3);
        assert_true(even[0] == 1 && even[1] == 1);
    }
    ons_dataset_close(&d);
    put_text("metadata.jsonl", "{\"file_name\":\"0.png\",\"text\":\"once\",\"repeats\":0}\n");
    assert_int_equal(ons_dataset_open(folder, &(ons_dataset_options){.size = 0}, &d), ONESTEP_BAD_FILE);
    assert_non_null(strstr(onestep_error_text(), "line 1"));
}

static void test_draws_are_a_function(void **state)
{
    ons_dataset *d = open_numbered();
    int differing = 0;
    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        const ons_caption_draw a = ons_dataset_draw(d, 1, i, 0.1, 0.4), b = ons_dataset_draw(d, 1, i, 0.1, 0.4);
        assert_int_equal(a.item, b.item);
        assert_ptr_equal(a.caption, b.caption);
        differing += ons_dataset_draw(d, 2, i, 0.1, 0.4).item != a.item;
        assert_string_equal(ons_dataset_draw(d, 1, i, 1, 0).caption, "");
        assert_int_equal(*ons_dataset_draw(d, 1, i, 0, 0).caption, 'n');
    }
    assert_true(differing > 150);
    ons_dataset_close(&d);
}

static void test_fit(void **state)
{
    uint8_t pixels[4 * 2 * 4], rgb[4 * 4 * 3];
    const ons_rgba wide = {4, 2, pixels};
    (void)state;
    for (int i = 0; i < 8; i++)
        memcpy(pixels + 4 * i, (const uint8_t[4]){(uint8_t)(60 * (i % 4)), 0, 0, 255}, 4);
    assert_int_equal(ons_rgba_fit(&wide, ONS_FIT_CROP, 1, rgb), ONESTEP_OK);
    assert_int_equal(rgb[0], 90); /* columns 1 and 2 */
    assert_int_equal(ons_rgba_fit(&wide, ONS_FIT_INSIDE, 4, rgb), ONESTEP_OK);
    assert_int_equal(rgb[1], 255); /* white above */
    assert_int_equal(rgb[(1 * 4 + 3) * 3], 180);
    assert_int_equal(rgb[(1 * 4 + 3) * 3 + 1], 0);
    /* Half of the area invisible red, half opaque blue: the red does not show. */
    for (int i = 0; i < 8; i++)
        memcpy(pixels + 4 * i, i % 2 ? (const uint8_t[4]){255, 0, 0, 0} : (const uint8_t[4]){0, 0, 255, 255},
               4);
    assert_int_equal(ons_rgba_fit(&wide, ONS_FIT_CROP, 1, rgb), ONESTEP_OK);
    assert_int_equal(rgb[0], 128);
    assert_int_equal(rgb[1], 128);
    assert_int_equal(rgb[2], 255);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_folder_with_texts), IN_FOLDER(test_metadata), IN_FOLDER(test_metadata_damaged),
        IN_FOLDER(test_repeats),           IN_FOLDER(test_shards),   IN_FOLDER(test_empty_and_missing),
        IN_FOLDER(test_caption_file),      IN_FOLDER(test_draws),    IN_FOLDER(test_draws_are_a_function),
        cmocka_unit_test(test_fit),
    };
    ons_log_set_level(ONS_LOG_QUIET);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
