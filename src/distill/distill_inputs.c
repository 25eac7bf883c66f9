/* What a distillation works with: opened or made, and checked against each other. */
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "distill/distill_impl.h"
#include "train/contrastive.h"

static bool report_perceptual(void *user, int64_t step, int64_t total, double loss)
{
    (void)total;
    if (step % 10 == 0)
        ons_progress_update(user, (long)step, "loss %.3f", loss);
    return !ons_interrupted();
}

/* "16,32,64" -> widths per level. */
static onestep_status read_channels(const char *text, ons_contrastive_options *o)
{
    for (const char *at = text; *at;) {
        char *end;
        long v = strtol(at, &end, 10);

        if (end == at || v < 1 || v > 4096 || o->n_levels == ONS_MAX_LEVELS || (*end && *end != ','))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "perceptual.channels '%s': expected widths such as 16,32,64",
                            text);
        o->channels[o->n_levels++] = (int)v;
        at = *end ? end + 1 : end;
    }
    return ONESTEP_OK;
}

static onestep_status train_perceptual(ons_distill_job *j, const char *folder)
{
    const ons_recipe *r = j->r;
    ons_progress progress;
    ons_contrastive_options o = {.data = j->d,
                                 .image_size = r->resolution,
                                 .embed_dim = r->perceptual.embed_dim,
                                 .vocab_size = r->tokenizer.vocab_size,
                                 .iterations = r->perceptual.iterations,
                                 .batch_size = r->perceptual.batch_size,
                                 .lr = r->perceptual.lr,
                                 .p_keyword = -1,
                                 .seed = r->seed + 1000,
                                 .compute = j->o->compute,
                                 .progress = report_perceptual,
                                 .user = &progress};
    onestep_status st;

    ONS_TRY(read_channels(r->perceptual.channels, &o));
    ons_info("training the perceptual network (%d steps), kept in %s", o.iterations, folder);
    ons_progress_begin(&progress, "perceptual", "step", 0, o.iterations);
    st = ons_contrastive_train(&o, &j->perceptual);
    ons_progress_end(&progress);
    if (st == ONESTEP_OK)
        st = ons_features_save(j->perceptual, folder, ONS_F32);
fail:
    return st;
}

/* The perceptual network: found, or trained now on the same pictures, from a seed of its own. */
static onestep_status obtain_perceptual(ons_distill_job *j)
{
    char *folder = j->o->perceptual ? ons_strdup(j->o->perceptual) : ons_path_join(j->folder, "perceptual");
    onestep_status st;

    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    st = ons_features_present(folder) ? ons_features_open(folder, &j->perceptual) : train_perceptual(j, folder);
    ons_free(folder);
    return st;
}

static onestep_status open_all(ons_distill_job *j)
{
    const ons_recipe *r = j->r;
    bool pictures = r->perceptual.iterations > 0 && r->distill.weight_reg > 0;
    onestep_status st;

    ONS_TRY(ons_model_open_to_run(&(ons_model_sources){.model = j->o->teacher}, &j->o->compute, &j->teacher));
    if (j->o->init)
        ONS_TRY(ons_model_open_to_run(&(ons_model_sources){.model = j->o->init}, &j->o->compute, &j->init));
    ONS_TRY(ons_dataset_open(
        j->o->data,
        &(ons_dataset_options){.size = pictures ? r->resolution : 0, .n_threads = j->o->compute.n_threads},
        &j->d));
    if (r->distill.weight_reg > 0) {
        if (!j->o->pairs) {
            st = ons_fail(
                ONESTEP_BAD_ARGUMENT,
                "the regression term needs pairs: make them with 'onestep pairs' and give --pairs DIR, "
                "or set distill.weight_reg to 0");
            goto fail;
        }
        ONS_TRY(ons_pairs_open(j->o->pairs, &j->pairs));
    }
    if (pictures && ons_dataset_has_pictures(j->d))
        ONS_TRY(obtain_perceptual(j));
    else if (r->distill.weight_reg > 0)
        ons_info("no pictures: the regression uses the distance in latent space");
fail:
    return st;
}

static onestep_status check_teacher(const ons_distill_job *j)
{
    const ons_unet_config *c = &j->teacher->unet_config;

    if (j->r->distill.timestep >= j->teacher->schedule.n)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "distill.timestep %d: the teacher has timesteps 0 to %d",
                        j->r->distill.timestep, j->teacher->schedule.n - 1);
    if (j->pairs.n &&
        (j->pairs.c != c->in_channels || j->pairs.context != ons_tokenizer_context(j->teacher->tokenizer)))
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s: pairs with %lld channels and %d tokens, the teacher has %d and %d: they are "
                        "another model's",
                        j->o->pairs, (long long)j->pairs.c, j->pairs.context, c->in_channels,
                        ons_tokenizer_context(j->teacher->tokenizer));
    return ONESTEP_OK;
}

static onestep_status find_init_adapter(ons_distill_job *j)
{
    j->init_adapter = ons_path_join(j->o->init, ONS_DISTILL_ADAPTER);
    if (!j->init_adapter)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (!ons_path_exists(j->init_adapter))
        return ons_fail(ONESTEP_NOT_FOUND,
                        "%s is missing: with distill.lora_rank, --init wants a student that was made with it",
                        j->init_adapter);
    return ONESTEP_OK;
}

/* An earlier student must be a generator of this recipe's timestep and of the teacher's architecture. */
static onestep_status check_init(ons_distill_job *j)
{
    const ons_params *start, *teacher = j->teacher->unet;
    int timestep = j->r->distill.timestep;

    if (!j->init)
        return ONESTEP_OK;
    if (j->init->card.timestep < 0)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s is no one-step student: --init goes on from one; without it, "
                        "distilling begins with the teacher's weights",
                        j->o->init);
    if (j->init->card.timestep != timestep)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s is conditioned on timestep %d, the recipe says %d: give --timestep %d", j->o->init,
                        j->init->card.timestep, timestep, j->init->card.timestep);
    if (j->r->distill.lora_rank)
        return find_init_adapter(j);
    start = j->init->unet;
    for (int i = 0; i < ons_params_count(teacher); i++) {
        const ons_param *p = ons_params_at(teacher, i);
        int at = ons_params_find(start, p->name);

        if (at != i || !ons_shape_equal(&ons_params_at(start, at)->shape, &p->shape))
            return ons_fail(ONESTEP_BAD_ARGUMENT,
                            "%s: %s is not as in the teacher %s: it is the student of another architecture",
                            j->o->init, p->name, j->o->teacher);
    }
    return ONESTEP_OK;
}

onestep_status ons_distill_open_inputs(ons_distill_job *j)
{
    onestep_status st;

    ONS_TRY(open_all(j));
    ONS_TRY(check_teacher(j));
    st = check_init(j);
fail:
    return st;
}
