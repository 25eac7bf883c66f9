/*
 * Time, cores, memory and interruption, as Linux tells them.
 *
 * Cores: the affinity mask, not the machine, is what counts in containers and under taskset; siblings of one
 * core are counted once, through sysfs. Where sysfs is missing every allowed CPU counts as a core. A cgroup's
 * quota caps them, rounded to the nearest: a further thread brings work where half a core or more is left for
 * it, and below that mostly pauses in which the others wait for it.
 */
#include "base/system.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double ons_now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The lowest CPU of the core that `cpu` belongs to among the allowed ones; `cpu` itself if sysfs does not say.
 */
static int find_first_sibling(int cpu, const cpu_set_t *allowed)
{
    char path[96], list[256] = "";
    int first = cpu;

    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "r");
    if (!f)
        return cpu;
    const char *p = fgets(list, sizeof list, f);
    fclose(f);
    while (p && *p) { /* "0,8" or "0-1" */
        int from, to, length = 0;
        if (sscanf(p, "%d%n", &from, &length) != 1)
            break;
        p += length;
        to = from;
        if (*p == '-' && sscanf(p + 1, "%d%n", &to, &length) == 1)
            p += 1 + length;
        for (int i = from; i <= to && i < CPU_SETSIZE; i++)
            if (i >= 0 && i < first && CPU_ISSET(i, allowed))
                first = i;
        if (*p != ',')
            break;
        p++;
    }
    return first;
}

static int cap_by_quota(int n)
{
    const double quota = ons_quota_cores("");

    if (quota > 0 && quota + 0.5 < n)
        n = (int)(quota + 0.5);
    return n > 0 ? n : 1;
}

int ons_physical_cores(void)
{
    cpu_set_t allowed;
    int n = 0;

    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        return cap_by_quota(online > 0 ? (int)online : 1);
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && find_first_sibling(cpu, &allowed) == cpu)
            n++;
    return cap_by_quota(n);
}

/* The first number in a file of one line; -1 where there is none ("max" of a cgroup). */
static long long read_number(const char *path)
{
    long long value = -1;
    FILE *f = fopen(path, "r");

    if (!f)
        return -1;
    if (fscanf(f, "%lld", &value) != 1)
        value = -1;
    fclose(f);
    return value;
}

/* Bytes left under a container's limit (cgroup 2, then 1); SIZE_MAX without one. */
static size_t read_cgroup_room(void)
{
    static const char *const files[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
    };

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        long long limit = read_number(files[i][0]), used = read_number(files[i][1]);
        if (limit >= 0 && used >= 0)
            return limit > used ? (size_t)(limit - used) : 0;
    }
    return (size_t)-1;
}

size_t ons_available_memory(void)
{
    char line[128];
    unsigned long long kib = 0;
    size_t room = read_cgroup_room();
    FILE *f = fopen("/proc/meminfo", "r");

    if (f) {
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
                break;
        fclose(f);
    }
    size_t available = (size_t)kib * 1024;
    if (!kib)
        available = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return available < room ? available : room;
}

size_t ons_peak_rss(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return (size_t)usage.ru_maxrss * 1024;
}

static ons_stop interrupt; /* lock-free, so that a signal handler may set it */

/* The second signal gets the default treatment: someone who presses Ctrl-C twice means it. */
static void note_signal(int signal_number)
{
    if (ons_stop_asked(&interrupt)) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    ons_stop_ask(&interrupt);
}

void ons_catch_interrupts(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool ons_interrupted(void)
{
    return ons_stop_asked(&interrupt);
}

const ons_stop *ons_interrupt_stop(void)
{
    return &interrupt;
}

void ons_request_interrupt(void)
{
    ons_stop_ask(&interrupt);
}

void ons_clear_interrupt(void)
{
    ons_stop_clear(&interrupt);
}
