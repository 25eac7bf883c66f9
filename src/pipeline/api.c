/* The public C interface: a thin layer over opening, drawing and PNG. */
#include "onestep.h"

#include "base/memory.h"
#include "pipeline/draw.h"
#include "pipeline/picture.h"

struct onestep_pipeline {
    ons_model *model;
};

onestep_status onestep_pipeline_open(const char *path, const onestep_options *options, onestep_pipeline **out)
{
    onestep_pipeline *p = ons_calloc(1, sizeof *p);
    onestep_type type = options ? options->type : ONESTEP_TYPE_AUTO;
    ons_compute compute = {0};
    onestep_status st;

    *out = NULL;
    if (!p)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a pipeline");
    compute.n_threads = options ? options->n_threads : 0;
    compute.type = type == ONESTEP_TYPE_AUTO   ? ons_compute_native_type(&compute)
                   : type == ONESTEP_TYPE_BF16 ? ONS_BF16
                                               : ONS_F32;
    ONS_TRY(ons_model_open_to_run(&(ons_model_sources){.model = path}, &compute, &p->model));
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

static onestep_status make_request(const onestep_params *params, ons_request *q)
{
    if (params->timesteps && params->steps < 1)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "timesteps are given without their number in steps");
    if (params->timesteps && params->steps > ONS_FIELD_MAX_LIST)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d timesteps; at most %d are possible", params->steps,
                        ONS_FIELD_MAX_LIST);
    ons_request_init(q);
    q->prompt = params->prompt;
    q->negative = params->negative;
    q->width = params->width;
    q->height = params->height;
    q->steps = params->steps;
    q->guidance = params->guidance;
    q->sampler = params->sampler;
    q->noise = (int)params->noise;
    q->seed = (ons_seed){.value = params->seed};
    q->count = q->batch_size = params->count;
    q->progress = params->progress;
    q->user = params->user;
    for (int i = 0; params->timesteps && i < params->steps; i++)
        q->timesteps.values[q->timesteps.n++] = params->timesteps[i];
    return ONESTEP_OK;
}

onestep_status onestep_pipeline_generate(onestep_pipeline *p, const onestep_params *params, onestep_image **out)
{
    onestep_image *image = NULL;
    ons_result r = {0};
    ons_request q;
    ons_resolved run;
    onestep_status st;

    *out = NULL;
    ONS_TRY(make_request(params, &q));
    ONS_TRY(ons_request_check(&q));
    ONS_TRY(ons_request_resolve(p->model, &q, &run));
    ONS_TRY(create_image(run.width, run.height, params->count, params->seed, &image));
    r.rgb = image->rgb;
    ONS_TRY(ons_draw(p->model, &q, &r));
    image->seconds = r.stats.total_s;
    *out = image;
    image = NULL;
fail:
    onestep_image_free(&image);
    ons_result_fini(&r);
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
