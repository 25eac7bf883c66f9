/* The picture that `onestep generate -i` begins with: its size, and its pixels cropped and scaled to what the
 * model takes. */
#include <math.h>

#include "base/log.h"
#include "base/memory.h"
#include "cli/generate.h"
#include "io/image.h"

/* Pictures of up to this many times the area that the model was trained for keep their size; larger ones are
 * scaled down to it. */
static const double MAX_AREA = 1.5;

/* The picture's shape at about the model's own area, in whole latents. */
static void choose_size(generate_job *j, const ons_image *image)
{
    ons_request *q = &j->request;
    const int factor = ons_vae_factor(&j->model->vae_config), own = j->model->unet_config.sample_size * factor;
    const double area = (double)image->width * image->height, own_area = (double)own * own;
    const double scale = area > MAX_AREA * own_area ? sqrt(own_area / area) : 1;

    if (q->width == 0)
        q->width = (int)fmax(1, floor(image->width * scale / factor + 1e-9)) * factor;
    if (q->height == 0)
        q->height = (int)fmax(1, floor(image->height * scale / factor + 1e-9)) * factor;
}

onestep_status generate_load_init(generate_job *j)
{
    ons_request *q = &j->request;
    ons_image image = {0};
    onestep_status st = ONESTEP_OK;

    if (!j->args->init)
        return ONESTEP_OK;
    ONS_TRY(ons_image_load(j->args->init, &image));
    choose_size(j, &image);
    ONS_TRY(ons_size_resolve(j->model, &q->width, &q->height));
    j->init = ons_malloc((size_t)q->width * (size_t)q->height * 3);
    if (!j->init) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a picture of %dx%d", q->width, q->height);
        goto fail;
    }
    ons_image_fit(&image, q->width, q->height, j->init);
    q->init = j->init;
    ons_verbose("%s: %dx%d, taken as %dx%d", j->args->init, image.width, image.height, q->width, q->height);
fail:
    ons_image_fini(&image);
    return st;
}
