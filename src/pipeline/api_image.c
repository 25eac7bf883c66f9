/* Pictures of the C interface: what a caller hands in, and what it gets, with the texts that go into its PNG.
 */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/image.h"
#include "io/png.h"
#include "pipeline/api_impl.h"
#include "pipeline/parameters.h"

/* What the caller sees comes first. */
typedef struct made_image {
    onestep_image shown;
    char **texts; /* [count, 2]: parameters and JSON of each picture */
} made_image;

onestep_status ons_api_fit_init(const ons_model *m, const onestep_params *p, ons_request *q, uint8_t **init)
{
    const ons_image image = {p->init_width, p->init_height, (uint8_t *)p->init};
    onestep_status st;

    if (!p->init)
        return ONESTEP_OK;
    if (p->init_width < 1 || p->init_height < 1 || p->init_width > ONS_IMAGE_MAX_SIDE ||
        p->init_height > ONS_IMAGE_MAX_SIDE)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a picture of %dx%d to begin with: sides of 1 to %d are possible",
                        p->init_width, p->init_height, ONS_IMAGE_MAX_SIDE);
    ONS_TRY(ons_size_resolve(m, &q->width, &q->height));
    *init = ons_malloc((size_t)q->width * (size_t)q->height * 3);
    if (!*init)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a picture of %dx%d", q->width, q->height);
    ons_image_fit(&image, q->width, q->height, *init);
    q->init = *init;
fail:
    return st;
}

static onestep_status describe(ons_model *m, const ons_request *q, const ons_result *r, made_image *image)
{
    image->texts = ons_calloc((size_t)r->n * 2, sizeof *image->texts);
    if (!image->texts)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the texts of %d pictures", r->n);
    for (int i = 0; i < r->n; i++) {
        ons_parameters p;
        onestep_status st = ons_parameters_of(m, q, r, i, &p);

        if (st != ONESTEP_OK)
            return st;
        image->texts[2 * i] = ons_parameters_text(&p);
        image->texts[2 * i + 1] = ons_parameters_json(&p);
        if (!image->texts[2 * i] || !image->texts[2 * i + 1])
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for the texts of %d pictures", r->n);
    }
    return ONESTEP_OK;
}

onestep_status ons_api_make_image(ons_model *m, const ons_request *q, ons_result *r, onestep_image **out)
{
    made_image *image = ons_calloc(1, sizeof *image);
    onestep_image *shown = image ? &image->shown : NULL;
    onestep_status st;

    if (!image)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures", r->n);
    *shown = (onestep_image){.width = r->run.width,
                             .height = r->run.height,
                             .count = r->n,
                             .seed = r->seed,
                             .seconds = r->stats.total_s,
                             .n_evaluations = r->stats.n_evaluations};
    ONS_TRY(describe(m, q, r, image));
    shown->rgb = r->rgb;
    r->rgb = NULL;
    r->owns_rgb = false;
    *out = shown;
    return ONESTEP_OK;
fail:
    onestep_image_free(&shown);
    return st;
}

void onestep_image_free(onestep_image **image)
{
    made_image *made = image ? (made_image *)*image : NULL;

    if (!made)
        return;
    for (int i = 0; made->texts && i < 2 * made->shown.count; i++)
        ons_free(made->texts[i]);
    ons_free(made->texts);
    ons_free(made->shown.rgb);
    ons_free(made);
    *image = NULL;
}

onestep_status onestep_image_encode(const onestep_image *image, int index, uint8_t **png, size_t *size)
{
    const made_image *made = (const made_image *)image;
    ons_picture_text texts[2];

    if (!image || !png || !size)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s is NULL", image ? "where the PNG goes" : "the picture");
    *png = NULL;
    *size = 0;
    if (index < 0 || index >= image->count)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "picture %d: there are 0 to %d", index, image->count - 1);
    texts[0] = (ons_picture_text){"parameters", made->texts[2 * index]};
    texts[1] = (ons_picture_text){"onestep", made->texts[2 * index + 1]};
    return ons_picture_encode(image->rgb + (size_t)index * (size_t)image->width * (size_t)image->height * 3,
                              image->width, image->height, texts, 2, png, size);
}

onestep_status onestep_image_save(const onestep_image *image, int index, const char *path)
{
    uint8_t *png = NULL;
    size_t size;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "the path of the picture is NULL");
    ONS_TRY(onestep_image_encode(image, index, &png, &size));
    st = ons_write_file(path, png, size);
fail:
    ons_free(png);
    return st;
}
