/*
 * Messages and progress lines on stderr.
 *
 * On a terminal a progress line is rewritten in place a few times a second; elsewhere (a file, a CI log) a line
 * is printed every ten seconds and at the end. A message that arrives while a progress line stands is printed
 * on a cleared line, and the next update draws the progress again.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/system.h"

static atomic_int level = ONS_LOG_QUIET;
static atomic_bool line_open; /* an unfinished progress line stands on the terminal */

/* Who takes the messages, and the turn to speak. */
static pthread_mutex_t speaking = PTHREAD_MUTEX_INITIALIZER;
static ons_log_hook hook;
static void *hook_user;

static const double TERMINAL_INTERVAL_S = 0.1, FILE_INTERVAL_S = 10.0;

void ons_log_set_level(ons_log_level new_level)
{
    atomic_store(&level, (int)new_level);
}

static ons_log_level current_level(void)
{
    return (ons_log_level)atomic_load(&level);
}

void ons_log_set_hook(ons_log_hook new_hook, void *user)
{
    pthread_mutex_lock(&speaking);
    hook = new_hook;
    hook_user = user;
    pthread_mutex_unlock(&speaking);
}

static bool has_hook(void)
{
    bool has;

    pthread_mutex_lock(&speaking);
    has = hook != NULL;
    pthread_mutex_unlock(&speaking);
    return has;
}

/* One fprintf per message, so that lines of several threads do not mix. */
static void print_message(ons_log_level needed, const char *prefix, const char *format, va_list args)
{
    char text[2048];

    if (current_level() < needed)
        return;
    vsnprintf(text, sizeof text, format, args);
    pthread_mutex_lock(&speaking);
    if (hook)
        hook(hook_user, needed, text);
    else
        fprintf(stderr, "%s%s%s\n", atomic_exchange(&line_open, false) ? "\r\033[K" : "", prefix, text);
    pthread_mutex_unlock(&speaking);
}

void ons_warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message(ONS_LOG_WARN, "warning: ", format, args);
    va_end(args);
}

void ons_info(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message(ONS_LOG_INFO, "", format, args);
    va_end(args);
}

void ons_verbose(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    print_message(ONS_LOG_VERBOSE, "", format, args);
    va_end(args);
}

void ons_progress_begin(ons_progress *p, const char *label, const char *unit, long done, long total)
{
    *p = (ons_progress){.label = label, .unit = unit, .done_at_start = done, .total = total};
    p->start_s = p->last_print_s = ons_now_s();
}

static void format_duration(double seconds, char *buf, size_t size)
{
    long s = (long)(seconds + 0.5);

    if (s >= 3600)
        snprintf(buf, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
}

/* " [12.3 pairs/s, 1:05 left]"; seconds per unit where a unit takes longer than one. */
static void format_rate(const ons_progress *p, long done, double now_s, char *buf, size_t size)
{
    double elapsed = now_s - p->start_s, n = (double)(done - p->done_at_start);
    char left[32];

    buf[0] = '\0';
    if (n <= 0 || elapsed <= 0)
        return;
    format_duration(done < p->total ? (double)(p->total - done) * elapsed / n : elapsed, left, sizeof left);
    const char *word = done < p->total ? "left" : "in all";
    if (n >= elapsed)
        snprintf(buf, size, " [%.1f %s/s, %s %s]", n / elapsed, p->unit, left, word);
    else
        snprintf(buf, size, " [%.1f s/%s, %s %s]", elapsed / n, p->unit, left, word);
}

/* Columns that text takes: UTF-8 continuation bytes take none. */
static int count_columns(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

void ons_progress_update(ons_progress *p, long done, const char *format, ...)
{
    bool terminal = isatty(STDERR_FILENO) == 1, finished = done >= p->total;
    double now_s = ons_now_s();
    char rate[96], text[512], line[768];
    va_list args;

    if (current_level() < ONS_LOG_INFO || has_hook())
        return;
    if (!finished && now_s - p->last_print_s < (terminal ? TERMINAL_INTERVAL_S : FILE_INTERVAL_S))
        return;
    p->last_print_s = now_s;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    format_rate(p, done, now_s, rate, sizeof rate);
    snprintf(line, sizeof line, "%s %ld/%ld%s%s%s", p->label, done, p->total, rate, text[0] ? " " : "", text);
    if (!terminal) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    fprintf(stderr, "\r%s\033[K%s", line, finished ? "\n" : "");
    fflush(stderr);
    p->printed_width = finished ? 0 : count_columns(line);
    atomic_store(&line_open, !finished);
}

void ons_progress_end(ons_progress *p)
{
    if (p->printed_width > 0 && atomic_exchange(&line_open, false))
        fputc('\n', stderr);
    p->printed_width = 0;
}
