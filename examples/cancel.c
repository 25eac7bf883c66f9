/* A second thread cancels a request that would take long, as a button or a closed connection does: cancel MODEL
 */
#include <pthread.h>
#include <stdio.h>

#include <onestep.h>

/* What both threads know. */
typedef struct request {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool begun, over; /* it draws; it need not be cancelled any more */
    onestep_cancel *cancel;
} request;

static void tell(request *r, bool *what)
{
    pthread_mutex_lock(&r->lock);
    *what = true;
    pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void *wait_and_cancel(void *user)
{
    request *r = user;

    pthread_mutex_lock(&r->lock);
    while (!r->begun && !r->over)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
    onestep_cancel_ask(r->cancel);
    return NULL;
}

static bool has_begun(void *user, int evaluation, int n_evaluations)
{
    request *r = user;

    (void)n_evaluations;
    if (evaluation == 1)
        tell(r, &r->begun);
    return true; /* false would stop as well, from this thread */
}

static onestep_status draw(const char *model, request *r)
{
    onestep_pipeline *pipeline = NULL;
    onestep_image *image = NULL;
    onestep_params params;
    onestep_status st = onestep_pipeline_open(model, NULL, &pipeline);

    onestep_params_init(&params, sizeof params);
    params.prompt = "red heart";
    params.steps = 500;
    params.count = 4096;
    params.batch_size = 1;
    params.progress = has_begun;
    params.user = r;
    params.cancel = r->cancel;
    if (st == ONESTEP_OK)
        st = onestep_pipeline_generate(pipeline, &params, &image);
    printf("%s: %s\n", onestep_status_name(st), st == ONESTEP_OK ? "drawn" : onestep_error_text());
    onestep_image_free(&image);
    onestep_pipeline_close(&pipeline);
    return st;
}

int main(int argc, char **argv)
{
    request r = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    pthread_t thread;
    onestep_status st;

    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL\n", argv[0]);
        return 2;
    }
    if (onestep_cancel_create(&r.cancel) != ONESTEP_OK || pthread_create(&thread, NULL, wait_and_cancel, &r)) {
        onestep_cancel_destroy(&r.cancel);
        return 1;
    }
    st = draw(argv[1], &r);
    tell(&r, &r.over);
    pthread_join(thread, NULL);
    onestep_cancel_destroy(&r.cancel);
    return st == ONESTEP_INTERRUPTED ? 0 : 1;
}
