/* The emoji set as a whole, where font and Unicode's files are installed; skips otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "data/dataset.h"

static const char *find_tone(const char *name)
{
    const char *colon = strstr(name, ": ");
    return colon && strstr(colon, "skin tone") ? colon + 2 : NULL;
}

/* Training pictures that share the person (text before the colon) or the whole of what follows it. */
static int count_training(const ons_dataset *d, const char *name, bool person)
{
    const char *tone = find_tone(name);
    const size_t n_person = (size_t)(tone - name);
    int n = 0;
    for (size_t i = 0; i < ons_dataset_count(d); i++) {
        const ons_item *item = ons_dataset_at(d, i);
        const char *other = find_tone(item->captions[0]);
        if (item->heldout || !other)
            continue;
        n += person ? strncmp(item->captions[0], name, n_person) == 0
                    : strncmp(other, tone, strcspn(tone, ",")) == 0;
    }
    return n;
}

static void check_split(const ons_dataset *d)
{
    size_t n, n_flagged = 0;
    const char *const *heldout = ons_dataset_heldout(d, &n);
    assert_true(n >= 150);
    for (size_t i = 0; i < ons_dataset_count(d); i++)
        n_flagged += ons_dataset_at(d, i)->heldout;
    assert_int_equal(n_flagged, n);
    for (size_t i = 0; i < n; i++) {
        assert_non_null(find_tone(heldout[i]));
        assert_true(count_training(d, heldout[i], true) >= 4);
        assert_true(count_training(d, heldout[i], false) >= 100);
    }
}

static int count_keyword(const ons_dataset *d, const char *keyword)
{
    int n = 0;
    for (size_t i = 0; i < ons_dataset_count(d); i++) {
        const ons_item *item = ons_dataset_at(d, i);
        for (int k = 1; k < item->n_captions && !item->heldout; k++)
            n += strcmp(item->captions[k], keyword) == 0;
    }
    return n;
}

static void check_pictures(const ons_dataset *d)
{
    size_t n_tones = 0, n_with_keywords = 0;
    for (size_t i = 0; i < ons_dataset_count(d); i++) {
        const ons_item *item = ons_dataset_at(d, i);
        bool inked = false;
        for (size_t k = 0; k < 32 * 32 * 3; k++)
            inked |= item->rgb[k] < 240;
        if (!inked)
            fail_msg("%s is white all over", item->captions[0]);
        n_with_keywords += item->n_captions > 1;
        n_tones += find_tone(item->captions[0]) != NULL;
    }
    assert_true(n_tones > 1500);
    assert_true(n_with_keywords > 0.95 * (double)ons_dataset_count(d));
}

static void test_emoji_set(void **state)
{
    char folder[] = "/tmp/onestep-test-XXXXXX";
    const ons_dataset_options options = {.size = 32, .include_heldout = true};
    ons_dataset *d = NULL;
    size_t n;
    (void)state;
    assert_non_null(mkdtemp(folder));
    ons_request_interrupt(); /* Ctrl-C */
    const onestep_status stopped = ons_emoji_write(folder, 32);
    ons_clear_interrupt();
    assert_true(stopped == ONESTEP_INTERRUPTED || stopped == ONESTEP_NOT_FOUND);
    const onestep_status st = ons_emoji_write(folder, 32);
    if (st == ONESTEP_NOT_FOUND) {
        rmdir(folder);
        print_message("skipped: %s\n", onestep_error_text());
        skip();
    }
    if (st != ONESTEP_OK || ons_dataset_open(folder, &options, &d) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_int_equal(ons_dataset_n_broken(d), 0);
    assert_true(ons_dataset_count(d) > 3600);
    check_split(d);
    check_pictures(d);
    const char *const *ambiguous = ons_dataset_ambiguous(d, &n);
    assert_true(n >= 100);
    for (size_t i = 0; i < n; i++)
        assert_true(count_keyword(d, ambiguous[i]) >= 8);
    ons_dataset_close(&d);
    char *command = ons_format("rm -r %s", folder);
    assert_int_equal(system(command), 0);
    ons_free(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_emoji_set)};
    ons_log_set_level(ONS_LOG_QUIET);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
