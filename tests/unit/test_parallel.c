/* Teams of threads: every piece once, whoever runs it, and nobody held by a thread that is late. */
#include "unit_test.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "base/parallel.h"

enum { MOST = 64 };

static void pause_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void the_partition_covers_everything_once(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 50; n++)
        for (int t = 1; t < 20; t++) {
            int64_t at = 0, least = n, most = 0;

            for (int i = 0; i < t; i++) {
                int64_t begin, end;

                ons_partition(n, t, i, &begin, &end);
                assert_int_equal(begin, at);
                at = end;
                least = end - begin < least ? end - begin : least;
                most = end - begin > most ? end - begin : most;
            }
            assert_int_equal(at, n);
            assert_true(most - least <= 1);
        }
}

typedef struct counts {
    atomic_int runs[MOST], n_pieces;
    int pause_ms;
    pthread_t threads[MOST]; /* by piece */
} counts;

static void count_piece(void *context, int piece, int n_pieces)
{
    counts *c = context;

    atomic_fetch_add(&c->runs[piece], 1);
    atomic_store(&c->n_pieces, n_pieces);
    c->threads[piece] = pthread_self();
    if (c->pause_ms)
        pause_ms(c->pause_ms);
}

static void check_counts(const counts *c, int n, int times)
{
    for (int i = 0; i < MOST; i++)
        assert_int_equal(c->runs[i], i < n ? times : 0);
    assert_int_equal(c->n_pieces, n);
}

static int count_threads(const counts *c, int n)
{
    int distinct = 0;

    for (int i = 0; i < n; i++) {
        bool again = false;

        for (int k = 0; k < i; k++)
            again |= pthread_equal(c->threads[i], c->threads[k]) != 0;
        distinct += !again;
    }
    return distinct;
}

static void every_piece_runs_once(void **state)
{
    (void)state;
    for (int n = 1; n <= MOST; n += n < 9 ? 1 : 11) { /* more than any machine of ours has cores, too */
        counts c = {0};

        for (int i = 0; i < 200; i++)
            ons_parallel(n, count_piece, &c);
        check_counts(&c, n, 200);
    }
}

static void odd_numbers_of_threads_are_mended(void **state)
{
    counts c = {0};

    (void)state;
    ons_parallel(0, count_piece, &c);
    ons_parallel(-3, count_piece, &c);
    check_counts(&c, 1, 2);
}

/* Pieces that last long enough for sleeping workers to come: each has a thread of its own, and no more do. */
static void threads_are_as_many_as_asked(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n += 2) {
        counts c = {.pause_ms = 60};

        ons_parallel(n, count_piece, &c);
        check_counts(&c, n, 1);
        assert_int_equal(count_threads(&c, n), n);
    }
}

static void a_pause_between_regions_does_no_harm(void **state)
{
    counts c = {0};

    (void)state;
    for (int i = 0; i < 30; i++) {
        pause_ms(i % 3); /* workers spin still, or sleep */
        ons_parallel(3, count_piece, &c);
    }
    check_counts(&c, 3, 30);
}

typedef struct sums {
    int64_t n;
    atomic_int seen[1000];
    atomic_int n_ranges, shortest;
} sums;

static void add_range(void *context, int64_t begin, int64_t end, int piece)
{
    sums *s = context;

    (void)piece;
    atomic_fetch_add(&s->n_ranges, 1);
    if (end - begin < s->shortest)
        atomic_store(&s->shortest, (int)(end - begin));
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&s->seen[i], 1);
}

static void ranges_cover_and_keep_the_grain(void **state)
{
    static const int64_t sizes[] = {0, 1, 2, 7, 100, 1000}, grains[] = {0, 1, 3, 64, 5000};

    (void)state;
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 5; k++) {
            sums s = {.shortest = 1000};

            ons_parallel_for(4, sizes[i], grains[k], add_range, &s);
            for (int64_t at = 0; at < 1000; at++)
                assert_int_equal(s.seen[at], at < sizes[i]);
            assert_true(s.n_ranges <= 4);
            if (s.n_ranges > 1)
                assert_true(s.shortest >= grains[k]);
        }
}

typedef struct nest {
    counts inner[4];
    pthread_t outer[4];
} nest;

static void open_inner(void *context, int piece, int n_pieces)
{
    nest *n = context;

    (void)n_pieces;
    n->outer[piece] = pthread_self();
    ons_parallel(3, count_piece, &n->inner[piece]);
}

static void regions_inside_regions_run_on_their_thread(void **state)
{
    nest n;

    (void)state;
    memset(&n, 0, sizeof n);
    ons_parallel(4, open_inner, &n);
    for (int i = 0; i < 4; i++) {
        check_counts(&n.inner[i], 3, 1);
        for (int k = 0; k < 3; k++)
            assert_true(pthread_equal(n.inner[i].threads[k], n.outer[i]));
    }
}

static void *call_often(void *argument)
{
    counts *c = argument;

    for (int i = 0; i < 300; i++)
        ons_parallel(3, count_piece, c);
    return NULL;
}

/* Each caller with its team, which ends with it: twice, so that storage is used again. */
static void many_callers_at_once(void **state)
{
    enum { CALLERS = 6 };

    (void)state;
    for (int round = 0; round < 2; round++) {
        static counts c[CALLERS];
        pthread_t callers[CALLERS];

        memset(c, 0, sizeof c);
        for (int i = 0; i < CALLERS; i++)
            assert_int_equal(pthread_create(&callers[i], NULL, call_often, &c[i]), 0);
        for (int i = 0; i < CALLERS; i++)
            pthread_join(callers[i], NULL);
        for (int i = 0; i < CALLERS; i++)
            check_counts(&c[i], 3, 300);
    }
}

/* One piece, wherever it runs, waits until all others have: they must not have waited for its thread. */
typedef struct stall {
    atomic_int done;
    bool in_time;
} stall;

static void stall_first_worker(void *context, int piece, int n_pieces)
{
    stall *s = context;

    if (piece == 1) {
        for (int ms = 0; ms < 5000 && atomic_load(&s->done) < n_pieces - 1; ms++)
            pause_ms(1);
        s->in_time = atomic_load(&s->done) == n_pieces - 1;
        return;
    }
    pause_ms(1);
    atomic_fetch_add(&s->done, 1);
}

static void a_stalled_worker_holds_no_other_piece(void **state)
{
    stall s = {0};

    (void)state;
    ons_parallel(8, stall_first_worker, &s);
    assert_true(s.in_time);
}

static void fill_slot(void *context, int64_t begin, int64_t end, int piece)
{
    double *slots = context;

    for (int64_t i = begin; i < end; i++)
        slots[piece] += 1. / (double)(i + 1);
}

static double add_up(void)
{
    double slots[7] = {0}, sum = 0;

    ons_parallel_for(7, 10000, 1, fill_slot, slots);
    for (int i = 0; i < 7; i++)
        sum += slots[i];
    return sum;
}

static void add_up_inside(void *context, int piece, int n_pieces)
{
    (void)n_pieces;
    ((double *)context)[piece] = add_up();
}

/* Sums by piece are the same bits with whole teams and with none. */
static void bits_follow_from_the_pieces_alone(void **state)
{
    const double want = add_up();
    double inside[3];

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_true(add_up() == want);
    ons_parallel(3, add_up_inside, inside);
    for (int i = 0; i < 3; i++)
        assert_true(inside[i] == want);
}

/* A child has its parent's memory and none of its threads. */
static void a_forked_process_makes_its_own_team(void **state)
{
    counts c = {0};
    int status = 0;
    pid_t child;

    (void)state;
    ons_parallel(3, count_piece, &c);
    child = fork();
    if (child == 0) {
        counts own = {.pause_ms = 60};

        ons_parallel(3, count_piece, &own);
        _exit(count_threads(&own, 3) == 3 && own.runs[0] == 1 && own.runs[2] == 1 ? 0 : 1);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void look_at_signals(void *context, int piece, int n_pieces)
{
    sigset_t *blocked = context;

    (void)n_pieces;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked[piece]);
    pause_ms(60);
}

static void workers_get_no_signals(void **state)
{
    sigset_t blocked[2], own;

    (void)state;
    ons_parallel(2, look_at_signals, blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_false(sigismember(&own, SIGINT));
    assert_int_equal(sigismember(&blocked[0], SIGINT) + sigismember(&blocked[1], SIGINT), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_partition_covers_everything_once),
        cmocka_unit_test(every_piece_runs_once),
        cmocka_unit_test(odd_numbers_of_threads_are_mended),
        cmocka_unit_test(threads_are_as_many_as_asked),
        cmocka_unit_test(a_pause_between_regions_does_no_harm),
        cmocka_unit_test(ranges_cover_and_keep_the_grain),
        cmocka_unit_test(regions_inside_regions_run_on_their_thread),
        cmocka_unit_test(many_callers_at_once),
        cmocka_unit_test(a_stalled_worker_holds_no_other_piece),
        cmocka_unit_test(bits_follow_from_the_pieces_alone),
        cmocka_unit_test(a_forked_process_makes_its_own_team),
        cmocka_unit_test(workers_get_no_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
