/*
 * Chrome trace events, one complete event per operator and run: open the file in chrome://tracing or Perfetto.
 *
 * All plans of a process write to one file, whole runs at a time and after the run, so that writing is not
 * measured. The closing bracket is overwritten by the next run: the file is valid JSON whenever nobody is
 * writing, also after a crash later on.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/plan.h"
#include "base/log.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char begun[4096]; /* the file that this process has begun; guarded by lock */

int ons_plan_trace_id(void)
{
    static atomic_int last;

    return atomic_fetch_add(&last, 1) + 1;
}

static void write_text(FILE *f, const char *text)
{
    fputc('"', f);
    for (; text && *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(f, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(f, "\\u%04x", *text);
        else
            fputc(*text, f);
    fputc('"', f);
}

static void write_event(FILE *f, const ons_plan *p, const ons_step *s)
{
    char shape[96];

    fprintf(f, "{\"name\":\"%s\",\"cat\":", ons_op_name(s->node->op));
    write_text(f, p->label);
    fprintf(f, ",\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"layer\":", p->trace_id,
            s->start_s * 1e6, (s->end_s - s->start_s) * 1e6);
    write_text(f, s->node->layer);
    fprintf(f, ",\"kernel\":\"%s\",\"shape\":\"%s\",\"flops\":%.0f,\"bytes\":%.0f}}", s->kernel->name,
            ons_shape_text(&s->node->out[0]->shape, shape), ons_node_flops(s->node), ons_node_bytes(s->node));
}

/* Positioned where the next event goes; NULL: cannot be written. */
static FILE *open_trace(const char *path, bool *first)
{
    FILE *f;

    *first = strcmp(begun, path) != 0;
    f = fopen(path, *first ? "w" : "r+");
    if (!f)
        return NULL;
    if (*first) {
        snprintf(begun, sizeof begun, "%s", path);
        fputs("[\n", f);
    } else if (fseek(f, -3, SEEK_END)) {
        fclose(f);
        return NULL;
    }
    return f;
}

static bool write_run(const ons_plan *p, FILE *f, bool first)
{
    bool failed;

    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].end_s > 0) {
            fputs(first ? "" : ",\n", f);
            write_event(f, p, &p->steps[i]);
            first = false;
        }
    fputs("\n]\n", f);
    failed = ferror(f);
    return !fclose(f) && !failed;
}

void ons_plan_trace_run(const ons_plan *p)
{
    FILE *f;
    bool first, written = false;

    pthread_mutex_lock(&lock);
    f = open_trace(p->trace_path, &first);
    if (f)
        written = write_run(p, f, first);
    pthread_mutex_unlock(&lock);
    if (!written)
        ons_warn("%s: cannot write the trace", p->trace_path);
}
