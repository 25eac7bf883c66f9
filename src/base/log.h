/*
 * Messages for people: on stderr, or to a hook. Levels are cumulative. At first nothing is said, since this is
 * a library; the command line speaks from its start, and -q and -v set the level.
 */
#ifndef ONS_BASE_LOG_H
#define ONS_BASE_LOG_H

#include <stdbool.h>

typedef enum ons_log_level { ONS_LOG_QUIET, ONS_LOG_WARN, ONS_LOG_INFO, ONS_LOG_VERBOSE } ons_log_level;

void ons_log_set_level(ons_log_level level);
/* Takes the messages in place of stderr, one call at a time and without "warning: "; progress lines then go
 * nowhere. NULL: stderr again. */
typedef void (*ons_log_hook)(void *user, ons_log_level level, const char *text);
void ons_log_set_hook(ons_log_hook hook, void *user);
void ons_warn(const char *format, ...) __attribute__((format(printf, 1, 2))); /* "warning: ..." */
void ons_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ons_verbose(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * One progress line: rewritten in place on a terminal, printed now and then otherwise.
 * Shows "label done/total [rate/s, time left] text". A finished line (done == total) ends with a newline.
 */
typedef struct ons_progress {
    const char *label, *unit; /* "pairs", "picture" */
    long done_at_start, total;
    double start_s, last_print_s;
    int printed_width;
} ons_progress;
void ons_progress_begin(ons_progress *p, const char *label, const char *unit, long done, long total);
void ons_progress_update(ons_progress *p, long done, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void ons_progress_end(ons_progress *p); /* leaves a clean line, also after an interruption */

#endif
