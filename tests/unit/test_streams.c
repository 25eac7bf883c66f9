/* Streams of random numbers: no two purposes share one, by number or by what they give. */
#include "unit_test.h"

#include <string.h>

#include "base/random.h"
#include "base/streams.h"
#include "diffusion/schedule.h"

static const struct {
    const char *name, *what;
    uint64_t number;
} rows[] = {
#define ROW(name, number, what) {#name, what, UINT64_C(number)},
    ONS_STREAMS(ROW)
#undef ROW
};
enum { N_ROWS = sizeof rows / sizeof *rows };

static void no_two_are_equal(void **state)
{
    (void)state;
    for (int i = 0; i < N_ROWS; i++)
        for (int k = 0; k < i; k++) {
            if (rows[i].number == rows[k].number || !strcmp(rows[i].what, rows[k].what))
                fail_msg("streams %s and %s are one", rows[i].name, rows[k].name);
            assert_int_not_equal(ons_rand_u64(1, rows[i].number, 0), ons_rand_u64(1, rows[k].number, 0));
        }
}

/* Under the seed of one picture. */
static void samplers_do_not_meet_the_posterior(void **state)
{
    (void)state;
    assert_true(ONS_STREAM_NOISE + ONS_MAX_TIMESTEPS < ONS_STREAM_IMAGE_POSTERIOR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_two_are_equal),
                                       cmocka_unit_test(samplers_do_not_meet_the_posterior)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
