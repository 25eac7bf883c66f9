/* Scales of 8-bit products in memory: see int8.h. */
#include "pipeline/int8.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const char *const ons_int8_part_names[ONS_INT8_PARTS] = {"unet", "decoder", "tiny_decoder"};

ons_int8_part ons_int8_decoder_of(const ons_model *m)
{
    return m->vae_config.kind == ONS_VAE_KL ? ONS_INT8_DECODER : ONS_INT8_TINY_DECODER;
}

void ons_int8_destroy(ons_int8 **out)
{
    ons_int8 *s = out ? *out : NULL;

    if (!s)
        return;
    for (int p = 0; p < ONS_INT8_PARTS; p++) {
        for (int i = 0; i < s->parts[p].n; i++)
            ons_free(s->parts[p].layers[i].layer);
        ons_free(s->parts[p].layers);
        ons_free(s->rows[p]);
    }
    ons_free(s->source);
    ons_free(s);
    *out = NULL;
}

static int by_layer(const void *a, const void *b)
{
    return strcmp(((const ons_int8_layer *)a)->layer, ((const ons_int8_layer *)b)->layer);
}

static onestep_status settle_part(ons_int8 *s, int p)
{
    const ons_int8_network *net = &s->parts[p];

    ons_free(s->rows[p]);
    s->rows[p] = ons_calloc((size_t)net->n + 1, sizeof *s->rows[p]);
    s->scales[p] = (ons_scales){s->rows[p], net->n, s->source};
    if (!s->rows[p])
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the scales of %d layers", net->n);
    if (net->n)
        qsort(net->layers, (size_t)net->n, sizeof *net->layers, by_layer);
    for (int i = 0; i < net->n; i++) {
        const ons_int8_layer *l = &net->layers[i];

        s->rows[p][i] = (ons_layer_scale){l->layer, l->keep ? 0 : l->scale, l->zero};
    }
    return ONESTEP_OK;
}

onestep_status ons_int8_settle(ons_int8 *s)
{
    onestep_status st = ONESTEP_OK;

    for (int p = 0; p < ONS_INT8_PARTS && st == ONESTEP_OK; p++)
        st = settle_part(s, p);
    return st;
}

onestep_status ons_int8_check(const ons_int8 *s, const ons_model *m)
{
    const ons_int8_part needed[] = {ONS_INT8_UNET, ons_int8_decoder_of(m)};

    for (int i = 0; i < 2; i++)
        if (!s->parts[needed[i]].known)
            return ons_fail(ONESTEP_BAD_FILE,
                            "%s: no scales for the %s; add them with onestep calibrate%s -o %s", s->source,
                            ons_int8_part_names[needed[i]], i ? " and the same --taesd or --vae" : "",
                            s->source);
    return ONESTEP_OK;
}
