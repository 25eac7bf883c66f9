/*
 * Plans of DMD and whether they fit: plans know what they take before they take it, packed weights are only
 * announced, so a run that would swap or be killed is refused, or recomputes blocks to fit.
 */
#include "base/log.h"
#include "distill/dmd_impl.h"
#include "train/gradients.h"

static const double GB = 1e9;
/* generator, its average, fake score; gradients and two moments of two optimizers */
enum { TRAINED_COPIES = 9 };

static ons_plan_options plan_options(const dmd *s, const char *label)
{
    ons_plan_options o = {.compute = s->ctx->compute, .label = label};

    o.params[SLOT_G] = s->g;
    o.params[SLOT_REAL] = s->real;
    o.params[SLOT_FAKE] = s->fake;
    o.params[SLOT_CLIP] = s->clip;
    o.params[SLOT_VAE] = s->vae;
    o.params[SLOT_FEATURES] = s->ctx->perceptual ? s->ctx->perceptual->params : NULL;
    return o;
}

static onestep_status plan_generator(dmd *s, generator *out, int n_dm, int n_reg)
{
    ons_plan_options o = plan_options(s, n_dm ? "generator" : "generator, regression");
    ons_graph *g = NULL;
    onestep_status st;

    *out = (generator){.n_dm = n_dm, .n_reg = n_reg};
    ONS_TRY(ons_graph_create(&g));
    ons_graph_recompute(g, s->recompute);
    ONS_TRY(ons_dmd_build_generator(s, g, n_dm, n_reg));
    ONS_TRY(ons_plan_create(&g, &o, &out->plan));
    st = ons_train_bind_slot(out->plan, SLOT_G, s->opt_g);
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status plan_critic(dmd *s)
{
    ons_plan_options o = plan_options(s, "fake score");
    ons_graph *g = NULL;
    onestep_status st;

    ONS_TRY(ons_graph_create(&g));
    ons_graph_recompute(g, s->recompute);
    ONS_TRY(ons_dmd_build_critic(s, g));
    ONS_TRY(ons_plan_create(&g, &o, &s->critic));
    st = ons_train_bind_slot(s->critic, SLOT_FAKE, s->opt_fake);
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status make_plans(dmd *s)
{
    const ons_recipe *r = s->ctx->r;
    bool reg = r->distill.weight_reg > 0, match = r->distill.weight_dm > 0;
    int n_dm = match ? r->distill.batch_size : 0, n_reg = reg ? r->distill.pair_batch_size : 0;
    onestep_status st = ONESTEP_OK;

    s->batch = n_dm + n_reg;
    if (reg && (r->distill.warmup_iterations > 0 || !match))
        ONS_TRY(plan_generator(s, &s->warm, 0, s->batch));
    if (match) {
        ONS_TRY(plan_generator(s, &s->match, n_dm, n_reg));
        ONS_TRY(plan_critic(s));
    }
fail:
    return st;
}

static void drop_plans(dmd *s)
{
    ons_plan_destroy(&s->warm.plan);
    ons_plan_destroy(&s->match.plan);
    ons_plan_destroy(&s->critic);
}

/* What running will take beyond what is taken already. */
typedef struct need {
    double weights, buffers;
    double trained; /* taken already */
} need;

static need measure(const dmd *s)
{
    ons_params *sets[] = {s->g, s->real, s->fake, s->clip, s->vae};
    ons_plan *plans[] = {s->warm.plan, s->match.plan, s->critic};
    need n = {0};

    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        n.weights += (double)ons_params_packed_bytes(sets[i]);
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
        if (plans[i])
            n.buffers += (double)ons_plan_peak_bytes(plans[i]);
    n.trained = TRAINED_COPIES * 4.0 * (double)ons_params_n_values(s->g);
    return n;
}

static onestep_status refuse(const dmd *s, const need *n)
{
    const ons_recipe *r = s->ctx->r;

    return ons_fail(ONESTEP_NO_MEMORY,
                    "a step of %d noises and %d pairs of %lldx%lld latents takes %.1f GB (weights as kernels "
                    "read them %.1f, buffers %.1f), "
                    "%.1f GB are to be had: take smaller batches (distill.batch_size, distill.pair_batch_size; "
                    "more of them a step with distill.accumulate) "
                    "or smaller pictures%s",
                    r->distill.batch_size, r->distill.pair_batch_size, (long long)s->h, (long long)s->w,
                    (n->weights + n->buffers) / GB, n->weights / GB, n->buffers / GB,
                    ons_compute_memory(&s->ctx->compute) / GB,
                    r->distill.lora_rank ? "" : ", or an adapter (distill.lora_rank)");
}

onestep_status ons_dmd_check_networks(const dmd *s)
{
    const ons_params *net = s->real;
    double bytes = TRAINED_COPIES * 4.0 * (double)ons_params_n_values(net);

    if (s->ctx->r->distill.lora_rank || bytes <= ons_compute_memory(&s->ctx->compute))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_NO_MEMORY,
                    "training all %.0f million weights takes %.1f GB (generator, its average and the fake "
                    "score, with gradients and AdamW's "
                    "moments) before any picture is computed, %.1f GB are to be had: train an adapter over the "
                    "shared network instead "
                    "(--set distill.lora_rank=16), or use a machine with more memory",
                    (double)ons_params_n_values(net) / 1e6, bytes / GB,
                    ons_compute_memory(&s->ctx->compute) / GB);
}

onestep_status ons_dmd_create_plans(dmd *s)
{
    int wish = s->ctx->r->distill.recompute;
    onestep_status st;
    need n;

    s->recompute = wish > 0;
    ONS_TRY(make_plans(s));
    n = measure(s);
    if (wish < 0 && n.weights + n.buffers > ons_compute_memory(&s->ctx->compute)) {
        double kept = n.buffers;

        drop_plans(s);
        s->recompute = true;
        ONS_TRY(make_plans(s));
        n = measure(s);
        ons_info(
            "memory is short: blocks are computed again for the gradients, %.1f GB of buffers instead of %.1f",
            n.buffers / GB, kept / GB);
    }
    ons_info("memory: %.2f GB (trained weights with averages, gradients and moments %.2f, weights as kernels "
             "read them %.2f, buffers %.2f)",
             (n.trained + n.weights + n.buffers) / GB, n.trained / GB, n.weights / GB, n.buffers / GB);
    if (n.weights + n.buffers > ons_compute_memory(&s->ctx->compute)) {
        st = refuse(s, &n);
        goto fail;
    }
    if (s->warm.plan)
        ONS_TRY(ons_plan_allocate(s->warm.plan));
    if (s->match.plan)
        ONS_TRY(ons_plan_allocate(s->match.plan));
    if (s->critic)
        ONS_TRY(ons_plan_allocate(s->critic));
    return ONESTEP_OK;
fail:
    return st;
}
