/*
 * The loop of contrastive training: vocabulary from the captions, one graph of both towers and the loss with
 * its gradients, AdamW. The temperature is fixed: learned ones end near the same value, and a fixed one keeps
 * the network a plain pair of towers.
 */
#include "train/contrastive.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "train/contrastive_batch.h"
#include "train/gradients.h"
#include "train/optimizer.h"

enum { DEFAULT_VOCAB = 2048, MAX_CONTEXT = 77, TEXT_WIDTH = 128, TEXT_LAYERS = 2, TEXT_HEADS = 4 };

int ons_contrastive_default_iterations(size_t n_pictures)
{
    double passes = 24.0 * (double)n_pictures / 128;

    return passes < 200 ? 200 : passes > 1200 ? 1200 : (int)passes;
}

static ons_contrastive_options with_defaults(const ons_contrastive_options *given)
{
    static const int tower[] = {8, 24, 48, 96,
                                160}; /* half the time goes into the first level: few channels there */
    ons_contrastive_options o = *given;
    size_t n = ons_dataset_count(o.data);

    if (o.image_size <= 0)
        o.image_size = 64;
    if (o.n_levels <= 0) { /* down to 4 x 4 */
        memcpy(o.channels, tower, sizeof tower);
        for (o.n_levels = 2; o.n_levels < 5 && o.image_size >> o.n_levels >= 4;)
            o.n_levels++;
    }
    if (o.embed_dim <= 0)
        o.embed_dim = 128;
    if (o.vocab_size <= 0)
        o.vocab_size = DEFAULT_VOCAB;
    if (o.iterations <= 0)
        o.iterations = ons_contrastive_default_iterations(n);
    if (o.batch_size <= 0)
        o.batch_size = 128;
    if ((size_t)o.batch_size > n)
        o.batch_size = (int)n;
    if (o.batch_size > ONS_CONTRASTIVE_MAX_BATCH)
        o.batch_size = ONS_CONTRASTIVE_MAX_BATCH;
    if (o.lr <= 0)
        o.lr = 1e-3;
    if (o.temperature <= 0)
        o.temperature = 0.07;
    if (o.p_keyword < 0)
        o.p_keyword = 0.4;
    return o;
}

/* All captions of the set, borrowed. */
static const char **collect_captions(const ons_dataset *d, size_t *n)
{
    size_t count = 0;
    const char **all;

    for (size_t i = 0; i < ons_dataset_count(d); i++)
        count += (size_t)ons_dataset_at(d, i)->n_captions;
    all = ons_malloc((count + 1) * sizeof *all);
    *n = 0;
    for (size_t i = 0; all && i < ons_dataset_count(d); i++)
        for (int k = 0; k < ons_dataset_at(d, i)->n_captions; k++)
            all[(*n)++] = ons_dataset_at(d, i)->captions[k];
    return all;
}

/* A vocabulary whose context is as long as the longest caption, and no longer: attention over padding costs
 * time. */
static onestep_status learn_tokenizer(const ons_dataset *d, int vocab_size, ons_tokenizer **out)
{
    onestep_status st;
    size_t n;
    int longest = 3;
    int32_t ids[MAX_CONTEXT];
    const char **captions = collect_captions(d, &n);
    ons_tokenizer *wide = NULL;

    if (!captions)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the captions of the data set");
    ONS_TRY(ons_tokenizer_train(captions, n, vocab_size, MAX_CONTEXT, &wide));
    for (size_t i = 0; i < n; i++) {
        int used = 0;

        ONS_TRY(ons_tokenizer_encode(wide, captions[i], ids, &used, NULL));
        longest = used > longest ? used : longest;
    }
    ONS_TRY(ons_tokenizer_train(captions, n, vocab_size, longest, out));
fail:
    ons_tokenizer_close(&wide);
    ons_free(captions);
    return st;
}

static ons_features_config describe_network(const ons_contrastive_options *o, const ons_tokenizer *t)
{
    ons_features_config c;

    memset(&c, 0, sizeof c);
    c.image_size = o->image_size;
    c.n_levels = o->n_levels;
    memcpy(c.channels, o->channels, sizeof c.channels);
    c.norm_num_groups = 1;
    c.embed_dim = o->embed_dim;
    c.text = (ons_clip_config){.vocab_size = ons_tokenizer_vocab_size(t),
                               .hidden_size = TEXT_WIDTH,
                               .intermediate_size = 4 * TEXT_WIDTH,
                               .num_hidden_layers = TEXT_LAYERS,
                               .num_attention_heads = TEXT_HEADS,
                               .max_position_embeddings = ons_tokenizer_context(t),
                               .hidden_act = ONS_OP_QUICK_GELU,
                               .layer_norm_eps = 1e-5,
                               .eos_token_id = ons_tokenizer_end_id(t),
                               .bos_token_id = ons_tokenizer_start_id(t),
                               .pad_token_id = ons_tokenizer_pad_id(t)};
    return c;
}

/* -sum(targets * log_softmax(a b^T / tau)) / n, targets' rows summing to 1. */
static ons_value *cross_entropy(ons_graph *g, ons_value *a, ons_value *b, ons_value *targets, double tau, int n)
{
    ons_value *logits = ons_matmul(g, a, b, false, true, 1 / tau, NULL, NULL);
    ons_value *hit = ons_mul(g, ons_unary(g, ONS_OP_LOG_SOFTMAX, logits), targets);

    return ons_affine(g, ons_mean_all(g, hit), -(double)n, 0);
}

static onestep_status make_plan(const ons_contrastive_options *o, const ons_features *f, ons_adamw *adam,
                                ons_plan **out)
{
    onestep_status st;
    ons_graph *g = NULL;
    ons_nn nn;
    int n = o->batch_size, s = o->image_size;
    ons_plan_options options = {.compute = o->compute, .label = "contrastive"};
    ons_value *pixels, *ids, *ends, *pictures, *captions, *by_picture, *by_caption, *loss;

    ONS_TRY(ons_graph_create(&g));
    ons_nn_init(&nn, g, f->params, 0, true);
    pixels = ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(n, s, s, 3));
    ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(n, f->config.text.max_position_embeddings));
    ends = ons_input(g, "ends", ONS_I32, &ONS_SHAPE1(n));
    by_picture = ons_input(g, "by_picture", ONS_F32, &ONS_SHAPE2(n, n));
    by_caption = ons_input(g, "by_caption", ONS_F32, &ONS_SHAPE2(n, n));
    pictures = ons_features_image_build(&nn, &f->config, pixels, NULL);
    captions = ons_features_text_build(&nn, &f->config, ids, ends);
    loss = ons_affine(g,
                      ons_add(g, cross_entropy(g, pictures, captions, by_picture, o->temperature, n),
                              cross_entropy(g, captions, pictures, by_caption, o->temperature, n)),
                      0.5, 0);
    ons_graph_output(g, loss, "loss");
    ONS_TRY(ons_train_bind_gradients(g, loss, f->params, 0));
    ONS_TRY(ons_graph_finish(g));
    options.params[0] = f->params;
    ONS_TRY(ons_plan_create(&g, &options, out));
    ONS_TRY(ons_train_bind_outputs(*out, adam));
    ONS_TRY(ons_plan_allocate(*out));
    ons_plan_set_stop(*out, ons_interrupt_stop());
fail:
    ons_graph_destroy(&g);
    return st;
}

/* Linear rise over the first twentieth, then half a cosine to 0. */
static double rate_at(double lr, int64_t step, int64_t total)
{
    int64_t warm = total / 20 + 1;

    if (step < warm)
        return lr * (double)(step + 1) / (double)warm;
    return lr * 0.5 * (1 + cos(3.14159265358979323846 * (double)(step - warm) / (double)(total - warm)));
}

static onestep_status run_steps(const ons_contrastive_options *o, const ons_contrastive_batch *batch,
                                ons_plan *plan, ons_adamw *adam)
{
    onestep_status st = ONESTEP_OK;
    ons_adamw_options step_options = {
        .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.02, .clip = 1};

    for (int64_t step = 0; step < o->iterations; step++) {
        double loss;

        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "interrupted while training the feature network");
        ONS_TRY(ons_contrastive_batch_fill(batch, step));
        ONS_TRY(ons_contrastive_batch_write(batch, plan));
        ONS_TRY(ons_plan_run(plan));
        ONS_TRY(ons_plan_read_scalar(plan, "loss", &loss));
        step_options.lr = rate_at(o->lr, step, o->iterations);
        ons_adamw_step(adam, &step_options, NULL);
        if (o->progress && !o->progress(o->user, step + 1, o->iterations, loss))
            return ons_fail(ONESTEP_INTERRUPTED, "training the feature network was stopped");
    }
fail:
    return st;
}

static onestep_status check_data(const ons_dataset *d)
{
    if (!ons_dataset_has_pictures(d))
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "a feature network needs pictures, and this data set holds captions alone");
    if (ons_dataset_count(d) < 2)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "a feature network needs two captioned pictures or more, found %zu",
                        ons_dataset_count(d));
    return ONESTEP_OK;
}

onestep_status ons_contrastive_train(const ons_contrastive_options *given, ons_features **out)
{
    onestep_status st;
    ons_contrastive_options o;
    ons_features *f = NULL;
    ons_tokenizer *tokenizer = NULL;
    ons_features_config config;
    ons_adamw *adam = NULL;
    ons_plan *plan = NULL;
    ons_contrastive_batch batch = {0};

    *out = NULL;
    ONS_TRY(check_data(given->data));
    o = with_defaults(given);
    ONS_TRY(learn_tokenizer(o.data, o.vocab_size, &tokenizer));
    config = describe_network(&o, tokenizer);
    ONS_TRY(ons_features_create(&config, tokenizer, &f));
    tokenizer = NULL;
    ons_params_set_threads(f->params, ons_compute_threads(&o.compute));
    ons_params_init(f->params, o.seed);
    ONS_TRY(ons_adamw_create(f->params, ons_compute_threads(&o.compute), &adam));
    ONS_TRY(make_plan(&o, f, adam, &plan));
    batch = (ons_contrastive_batch){.data = o.data,
                                    .tokenizer = f->tokenizer,
                                    .size = o.image_size,
                                    .n = o.batch_size,
                                    .p_keyword = o.p_keyword,
                                    .seed = o.seed,
                                    .n_threads = ons_compute_threads(&o.compute)};
    ONS_TRY(ons_contrastive_batch_init(&batch));
    ONS_TRY(run_steps(&o, &batch, plan, adam));
    *out = f;
    f = NULL;
fail:
    ons_contrastive_batch_fini(&batch);
    ons_plan_destroy(&plan);
    ons_adamw_destroy(&adam);
    ons_features_close(&f);
    ons_tokenizer_close(&tokenizer);
    return st;
}
