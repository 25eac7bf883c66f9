/* One third training names, one third held-out names, one third ambiguous keywords, spread evenly over each
 * list. */
#include "train/samples.h"

#include <stdio.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/sheet.h"
#include "train/streams.h"

static void choose_prompts(ons_samples *s, const ons_dataset *d)
{
    size_t n_heldout, n_ambiguous, count = ons_dataset_count(d);
    const char *const *heldout = ons_dataset_heldout(d, &n_heldout);
    const char *const *ambiguous = ons_dataset_ambiguous(d, &n_ambiguous);

    for (size_t i = 0; i < ONS_N_SAMPLES; i++) {
        const ons_item *item = ons_dataset_at(d, i * count / ONS_N_SAMPLES);

        if (i % 3 == 1 && n_heldout)
            s->prompts[i] = heldout[i * n_heldout / ONS_N_SAMPLES];
        else if (i % 3 == 2 && n_ambiguous)
            s->prompts[i] = ambiguous[i * n_ambiguous / ONS_N_SAMPLES];
        else
            s->prompts[i] = item->n_captions ? item->captions[0] : "";
    }
}

/* As many at once as take about what a batch of small pictures takes. */
static int choose_batch(const ons_model *m)
{
    enum { PIXELS = ONS_N_SAMPLES * 128 * 128 };
    const int side = m->unet_config.sample_size * ons_vae_factor(&m->vae_config), n = PIXELS / (side * side);

    return n < 1 ? 1 : n > ONS_N_SAMPLES ? ONS_N_SAMPLES : n;
}

onestep_status ons_samples_create(ons_model *m, const ons_dataset *d, uint64_t seed, const ons_compute *compute,
                                  ons_samples *out)
{
    ons_runner_options o = {.batch = choose_batch(m), .compute = *compute};
    int64_t h, w, c;
    size_t latent;
    onestep_status st;

    *out = (ons_samples){.batch = o.batch};
    ONS_TRY(ons_runner_create(m, &o, &out->runner));
    choose_prompts(out, d);
    ons_runner_latent_shape(out->runner, &h, &w, &c);
    latent = (size_t)ons_runner_latent_size(out->runner);
    out->width = (int)w * ons_vae_factor(&m->vae_config);
    out->height = (int)h * ons_vae_factor(&m->vae_config);
    out->noise = ons_calloc(ONS_N_SAMPLES * latent, sizeof *out->noise);
    out->rgb = ons_calloc(ONS_N_SAMPLES, (size_t)out->width * (size_t)out->height * 3);
    if (!out->noise || !out->rgb) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for %d samples", ONS_N_SAMPLES);
        goto fail;
    }
    for (int i = 0; i < ONS_N_SAMPLES; i++)
        ons_picture_noise(ONS_NOISE_PHILOX, seed + (uint64_t)i, h, w, c, out->noise + (size_t)i * latent);
    return ONESTEP_OK;
fail:
    ons_samples_fini(out);
    return st;
}

/* In batches; the last may be shorter. */
static onestep_status draw(ons_samples *s)
{
    const ons_run_settings settings = {.guidance = -1};
    const size_t latent = (size_t)ons_runner_latent_size(s->runner),
                 picture = (size_t)s->width * (size_t)s->height * 3;

    for (int i = 0; i < ONS_N_SAMPLES; i += s->batch) {
        const int n = ONS_N_SAMPLES - i < s->batch ? ONS_N_SAMPLES - i : s->batch;
        onestep_status st =
            ons_runner_run(s->runner, &settings, n, s->prompts + i, NULL, s->noise + (size_t)i * latent, NULL,
                           NULL, s->rgb + (size_t)i * picture);

        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

onestep_status ons_samples_write(ons_samples *s, const char *folder, const char *stage, int64_t step)
{
    char *samples = ons_path_join(folder, "samples");
    char *path = ons_format("%s/samples/%s-%07lld.png", folder, stage, (long long)step);
    onestep_status st;

    if (!samples || !path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a sample sheet");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(samples));
    ONS_TRY(draw(s));
    st = ons_sheet_write(path, s->rgb, ONS_N_SAMPLES, s->width, s->height, 8, s->prompts);
fail:
    ons_free(samples);
    ons_free(path);
    return st;
}

void ons_samples_fini(ons_samples *s)
{
    ons_runner_destroy(&s->runner);
    ons_free(s->noise);
    ons_free(s->rgb);
    *s = (ons_samples){0};
}
