/*
 * A team of threads for every thread that calls: made at the first call, grown as needed, ended with it.
 *
 * A region is published as one number (its count of pieces and which region it is); pieces are claimed one by
 * one, so that a worker that is late, because other programs have its core, holds nobody: the caller takes its
 * piece too. Who waits spins for some microseconds, about what waking a thread costs, and then sleeps in the
 * kernel. Workers prefer the piece of their own number, whose data may still lie in their core's cache.
 * The team lies in its caller's thread-local storage, so that a region can neither fail nor allocate.
 *
 * Rejected: OpenMP's regions, whose threads spin for milliseconds, in an embedder's process too, so that beside
 * busy programs each region waits for a time slice; one team for all callers, which would need a lock; barriers
 * inside regions, which need all pieces to run at once (a region per phase does not); a deque per worker, since
 * pieces are few and of one size.
 */
#include "base/parallel.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 50000, LOOKS = 16 }; /* LOOKS: between two readings of the clock */

typedef struct team {
    /* The region: which one in the low half, its count of pieces in the high one. */
    _Alignas(64) _Atomic uint64_t region;
    _Atomic(ons_task) task;
    _Atomic(void *) context;
    _Atomic uint32_t bell; /* changes with every region: what workers sleep on */
    _Atomic int n_asleep;
    atomic_bool ending;
    _Alignas(64) _Atomic uint32_t n_done; /* pieces of the region: what the caller sleeps on */
    atomic_bool caller_sleeps;
    _Alignas(64) _Atomic uint32_t claimed[ONS_MAX_PIECES]; /* by piece: this region, or the one before it */
    _Atomic int n_started;
    int n_workers;
    pthread_t workers[ONS_MAX_PIECES - 1];
} team;

static _Thread_local team own;
static _Thread_local bool inside; /* a task, of whichever team */

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Waits a bounded time for `at` to be something else than `seen`; has it changed? */
static bool spin(_Atomic uint32_t *at, uint32_t seen)
{
    const int64_t end = now_ns() + SPIN_NS;

    do
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load_explicit(at, memory_order_acquire) != seen)
                return true;
            relax();
        }
    while (now_ns() < end);
    return false;
}

static void futex_wait(_Atomic uint32_t *at, uint32_t seen)
{
    syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *at, int n)
{
    syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/*
 * Claims piece i of region `id` when nobody has. Success proves that the region is not over, so that task and
 * context, read before, are its own; a worker that still looks at a region long past finds nothing.
 */
static bool claim(team *t, uint32_t id, uint32_t i)
{
    uint32_t unclaimed = id - 1;

    return atomic_load_explicit(&t->claimed[i], memory_order_relaxed) == unclaimed &&
           atomic_compare_exchange_strong_explicit(&t->claimed[i], &unclaimed, id, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static void finish(team *t, uint32_t n_pieces)
{
    if (atomic_fetch_add(&t->n_done, 1) + 1 == n_pieces && atomic_load(&t->caller_sleeps))
        futex_wake(&t->n_done, 1);
}

/* Runs what nobody has claimed, the piece of one's own number first. */
static void help(team *t, int index)
{
    const uint64_t region = atomic_load_explicit(&t->region, memory_order_acquire);
    const uint32_t id = (uint32_t)region, n = (uint32_t)(region >> 32);
    const ons_task task = atomic_load_explicit(&t->task, memory_order_relaxed);
    void *const context = atomic_load_explicit(&t->context, memory_order_relaxed);

    for (uint32_t k = 0; k < n; k++) {
        const uint32_t i = ((uint32_t)index + k) % n;

        if (!claim(t, id, i))
            continue;
        task(context, (int)i, (int)n);
        finish(t, n);
    }
}

static void wait_for_region(team *t, uint32_t seen)
{
    if (spin(&t->bell, seen))
        return;
    atomic_fetch_add(&t->n_asleep, 1);
    while (atomic_load(&t->bell) == seen)
        futex_wait(&t->bell, seen);
    atomic_fetch_sub(&t->n_asleep, 1);
}

static void *work(void *argument)
{
    team *t = argument;
    const int index = atomic_fetch_add(&t->n_started, 1) + 1;

    inside = true;
    for (;;) {
        const uint32_t seen = atomic_load(&t->bell);

        if (atomic_load(&t->ending))
            return NULL;
        help(t, index);
        wait_for_region(t, seen);
    }
}

static void ring(team *t, int n_wanted)
{
    atomic_fetch_add(&t->bell, 1);
    if (atomic_load(&t->n_asleep))
        futex_wake(&t->bell, n_wanted);
}

static void reset(team *t)
{
    t->n_workers = 0;
    atomic_store(&t->n_started, 0);
    atomic_store(&t->n_asleep, 0);
    atomic_store(&t->ending, false);
}

static void end_team(void *team_of_thread)
{
    team *t = team_of_thread;

    atomic_store(&t->ending, true);
    ring(t, INT_MAX);
    for (int i = 0; i < t->n_workers; i++)
        pthread_join(t->workers[i], NULL);
    reset(t);
}

static pthread_key_t key; /* its destructor ends a team with its thread */
static bool has_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* fork() leaves workers behind. */
static void forget_team(void)
{
    reset(&own);
}

static void start(void)
{
    has_key = pthread_key_create(&key, end_team) == 0 && pthread_atfork(NULL, NULL, forget_team) == 0;
}

/* Workers get no signals: they are the program's to handle, where it expects them. */
static void grow(team *t, int n_workers)
{
    sigset_t all, before;

    pthread_once(&once, start);
    if (!has_key || (!t->n_workers && pthread_setspecific(key, t) != 0))
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (t->n_workers < n_workers && pthread_create(&t->workers[t->n_workers], NULL, work, t) == 0)
        t->n_workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void publish(team *t, ons_task task, void *context, uint32_t n_pieces)
{
    const uint32_t id = (uint32_t)atomic_load_explicit(&t->region, memory_order_relaxed) + 1;

    atomic_store_explicit(&t->task, task, memory_order_relaxed);
    atomic_store_explicit(&t->context, context, memory_order_relaxed);
    atomic_store_explicit(&t->n_done, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < n_pieces; i++)
        atomic_store_explicit(&t->claimed[i], id - 1, memory_order_relaxed);
    atomic_store_explicit(&t->region, (uint64_t)n_pieces << 32 | id, memory_order_release);
}

static void wait_for_pieces(team *t, uint32_t n_pieces)
{
    for (;;) {
        const uint32_t seen = atomic_load(&t->n_done);

        if (seen == n_pieces)
            return;
        if (spin(&t->n_done, seen))
            continue;
        atomic_store(&t->caller_sleeps, true);
        if (atomic_load(&t->n_done) == seen)
            futex_wait(&t->n_done, seen);
        atomic_store(&t->caller_sleeps, false);
    }
}

void ons_parallel(int n_threads, ons_task task, void *context)
{
    const int n = n_threads < 1 ? 1 : n_threads > ONS_MAX_PIECES ? ONS_MAX_PIECES : n_threads;
    team *t = &own;

    if (n == 1 || inside) {
        for (int i = 0; i < n; i++)
            task(context, i, n);
        return;
    }
    if (t->n_workers < n - 1)
        grow(t, n - 1);
    publish(t, task, context, (uint32_t)n);
    ring(t, n - 1);
    inside = true;
    help(t, 0);
    inside = false;
    wait_for_pieces(t, (uint32_t)n);
}

typedef struct range_job {
    ons_range range;
    void *context;
    int64_t n;
} range_job;

static void run_range(void *context, int piece, int n_pieces)
{
    const range_job *job = context;
    int64_t begin, end;

    ons_partition(job->n, n_pieces, piece, &begin, &end);
    if (begin < end)
        job->range(job->context, begin, end, piece);
}

void ons_parallel_for(int n_threads, int64_t n, int64_t grain, ons_range range, void *context)
{
    range_job job = {range, context, n};
    int64_t useful = grain > 0 ? n / grain : n;

    if (useful < n_threads)
        n_threads = useful < 1 ? 1 : (int)useful;
    ons_parallel(n_threads, run_range, &job);
}
