/* The public C interface: a thin layer over model folder, runner and PNG. The runner of the last size and count
 * is kept. */
#include "onestep.h"

#include "base/memory.h"
#include "pipeline/generate.h"
#include "pipeline/picture.h"

enum { MAX_COUNT = 4096 };

struct onestep_pipeline {
    ons_model *model;
    ons_runner *runner; /* for options below; NULL: none yet */
    ons_runner_options options;
};

onestep_status onestep_pipeline_open(const char *path, const onestep_options *options, onestep_pipeline **out)
{
    onestep_pipeline *p = ons_calloc(1, sizeof *p);
    onestep_type type = options ? options->type : ONESTEP_TYPE_AUTO;
    onestep_status st;

    *out = NULL;
    if (!p)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a pipeline");
    p->options.compute.n_threads = options ? options->n_threads : 0;
    p->options.compute.type = type == ONESTEP_TYPE_AUTO   ? ons_compute_native_type(&p->options.compute)
                              : type == ONESTEP_TYPE_BF16 ? ONS_BF16
                                                          : ONS_F32;
    ONS_TRY(ons_model_open(path, &p->model));
    *out = p;
    return ONESTEP_OK;
fail:
    onestep_pipeline_close(&p);
    return st;
}

void onestep_pipeline_close(onestep_pipeline **p)
{
    if (!p || !*p)
        return;
    ons_runner_destroy(&(*p)->runner);
    ons_model_close(&(*p)->model);
    ons_free(*p);
    *p = NULL;
}

void onestep_pipeline_size(const onestep_pipeline *p, int *width, int *height, int *multiple)
{
    *multiple = ons_vae_factor(&p->model->vae_config);
    *width = *height = p->model->unet_config.sample_size * *multiple;
}

void onestep_params_init(onestep_params *params)
{
    *params = (onestep_params){.guidance = -1, .count = 1};
}

/* The runner for this size and count; the one at hand when it fits. */
static onestep_status choose_runner(onestep_pipeline *p, int width, int height, int count)
{
    if (p->runner && p->options.width == width && p->options.height == height && p->options.batch == count)
        return ONESTEP_OK;
    ons_runner_destroy(&p->runner);
    p->options.width = width;
    p->options.height = height;
    p->options.batch = count;
    return ons_runner_create(p->model, &p->options, &p->runner);
}

static onestep_status create_image(int width, int height, int count, uint64_t seed, onestep_image **out)
{
    onestep_image *image = ons_calloc(1, sizeof *image);

    if (image)
        image->rgb = ons_malloc((size_t)width * (size_t)height * (size_t)count * 3);
    if (!image || !image->rgb) {
        onestep_image_free(&image);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures of %dx%d", count, width, height);
    }
    image->width = width;
    image->height = height;
    image->count = count;
    image->seed = seed;
    *out = image;
    return ONESTEP_OK;
}

/* What a run of `count` pictures needs besides the image. */
typedef struct run_inputs {
    const char **prompts, **negatives;
    uint64_t *seeds;
    float *noise;
} run_inputs;

static void fini_inputs(run_inputs *in)
{
    ons_free(in->prompts);
    ons_free(in->negatives);
    ons_free(in->seeds);
    ons_free(in->noise);
}

static onestep_status init_inputs(const onestep_pipeline *p, const onestep_params *params, run_inputs *in)
{
    const size_t n = (size_t)params->count, size = (size_t)ons_runner_latent_size(p->runner);
    int64_t h, w, c;

    in->prompts = ons_calloc(n, sizeof *in->prompts);
    in->negatives = ons_calloc(n, sizeof *in->negatives);
    in->seeds = ons_calloc(n, sizeof *in->seeds);
    in->noise = ons_malloc(n * size * sizeof *in->noise);
    if (!in->prompts || !in->negatives || !in->seeds || !in->noise)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures", params->count);
    ons_runner_latent_shape(p->runner, &h, &w, &c);
    for (size_t i = 0; i < n; i++) {
        in->prompts[i] = params->prompt;
        in->negatives[i] = params->negative ? params->negative : "";
        in->seeds[i] = params->seed + i;
        ons_picture_noise((ons_noise_kind)params->noise, in->seeds[i], h, w, c, in->noise + i * size);
    }
    return ONESTEP_OK;
}

onestep_status onestep_pipeline_generate(onestep_pipeline *p, const onestep_params *params, onestep_image **out)
{
    const ons_run_settings s = {.steps = params->steps,
                                .timesteps = params->timesteps,
                                .guidance = params->guidance,
                                .sampler = params->sampler,
                                .noise = (ons_noise_kind)params->noise,
                                .progress = params->progress,
                                .user = params->user};
    int width = params->width, height = params->height;
    onestep_image *image = NULL;
    run_inputs in = {0};
    onestep_status st;

    *out = NULL;
    if (!params->prompt || params->count < 1 || params->count > MAX_COUNT)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a prompt and a count from 1 to %d are needed", MAX_COUNT);
    if (params->timesteps && params->steps < 1)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "timesteps are given without their number in steps");
    ONS_TRY(ons_size_resolve(p->model, &width, &height));
    ONS_TRY(choose_runner(p, width, height, params->count));
    ONS_TRY(init_inputs(p, params, &in));
    ONS_TRY(create_image(width, height, params->count, params->seed, &image));
    ONS_TRY(ons_runner_run(p->runner, &s, params->count, in.prompts, in.negatives, in.noise, in.seeds, NULL,
                           image->rgb));
    image->seconds = ons_runner_stats(p->runner).total_s;
    *out = image;
    image = NULL;
fail:
    onestep_image_free(&image);
    fini_inputs(&in);
    return st;
}

void onestep_image_free(onestep_image **image)
{
    if (!image || !*image)
        return;
    ons_free((*image)->rgb);
    ons_free(*image);
    *image = NULL;
}

onestep_status onestep_image_save(const onestep_image *image, int index, const char *path)
{
    const size_t size = (size_t)image->width * (size_t)image->height * 3;

    if (index < 0 || index >= image->count)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "picture %d: there are 0 to %d", index, image->count - 1);
    return ons_picture_write(path, image->rgb + (size_t)index * size, image->width, image->height, NULL, 0);
}
