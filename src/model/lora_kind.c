/*
 * Told before anything is merged: changes that are no plain LoRA, and LoRAs of other architectures, which would
 * fit here and there by chance. The text vectors' width in the cross-attention tells the generations apart.
 */
#include "model/lora_kind.h"

#include <string.h>

#include "model/recognise.h"

typedef struct sign {
    const char *part, *what; /* what stands anywhere in some tensor's name */
} sign;

static const sign kinds[] = {
    {"hada_", "LoHa (products of two low ranks)"},
    {"lokr_", "LoKr (Kronecker products)"},
    {"dora_scale", "DoRA (weights renormalised)"},
    {"lora_magnitude_vector", "DoRA (weights renormalised)"},
    {".oft_", "OFT (rotations)"},
    {"oft_blocks", "OFT (rotations)"},
};

static const char sdxl[] = "SDXL", flux[] = "Flux", sd3[] = "Stable Diffusion 3";

/* The special before the general: Flux and Stable Diffusion 3 share names of text encoders with SDXL. */
static const sign architectures[] = {
    {"double_blocks", flux},
    {"single_blocks", flux},
    {"single_transformer_blocks", flux},
    {"joint_blocks", sd3},
    {"lora_te3_", sd3},
    {"text_encoder_3.", sd3},
    {"add_k_proj", "a transformer of the Stable Diffusion 3 or Flux family"},
    {"lora_transformer_", "a transformer of the Stable Diffusion 3 or Flux family"},
    {"lora_te2_", sdxl},
    {"text_encoder_2.", sdxl},
    {"lora_prior_", "Stable Cascade"},
    {"motion_modules", "a video model (AnimateDiff)"},
};

static const char *find_sign(const ons_safetensors *f, const sign *signs, size_t n, const char **tensor)
{
    for (size_t k = 0; k < n; k++)
        for (int i = 0; i < ons_safetensors_count(f); i++) {
            *tensor = ons_safetensors_at(f, i)->name;
            if (strstr(*tensor, signs[k].part))
                return signs[k].what;
        }
    return NULL;
}

static const char *name_width(int64_t width)
{
    switch (width) {
    case 768:
        return "Stable Diffusion 1.x";
    case 1024:
        return "Stable Diffusion 2.x";
    case 2048:
        return sdxl;
    default:
        return "another kind of model";
    }
}

/* A factor that reads text vectors: the down of a cross-attention's keys or values. */
static bool reads_text(const ons_file_tensor *t)
{
    const bool down = strstr(t->name, "lora_down.") || strstr(t->name, "lora_A.") || strstr(t->name, ".down.");

    return down && t->n_dims >= 2 && strstr(t->name, "attn2") &&
           (strstr(t->name, "to_k") || strstr(t->name, "to_v"));
}

static onestep_status check_width(const ons_safetensors *f, const ons_unet_config *config)
{
    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const ons_file_tensor *t = ons_safetensors_at(f, i);

        if (!reads_text(t) || t->dims[1] == config->cross_attention_dim)
            continue;
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: a LoRA for %s (%s reads text vectors of %lld), and this model is %s (text vectors of %d)",
            ons_safetensors_path(f), name_width(t->dims[1]), t->name, (long long)t->dims[1],
            name_width(config->cross_attention_dim), config->cross_attention_dim);
    }
    return ONESTEP_OK;
}

onestep_status ons_lora_refuse_kind(const char *path, const char *kind, const char *where)
{
    return ons_fail(
        ONESTEP_UNSUPPORTED,
        "%s: this is a %s (%s); plain LoRA for Stable Diffusion 1.x and 2.x is read: merge it into a model "
        "with the program that made it, and give that model",
        path, kind, where);
}

onestep_status ons_lora_check_kind(const ons_safetensors *f, const ons_unet_config *config)
{
    const char *tensor, *what;
    onestep_status st;

    ONS_TRY(ons_weights_expect(f, ONS_WEIGHTS_LORA));
    if ((what = find_sign(f, kinds, sizeof kinds / sizeof *kinds, &tensor)))
        return ons_lora_refuse_kind(ons_safetensors_path(f), what, tensor);
    if ((what = find_sign(f, architectures, sizeof architectures / sizeof *architectures, &tensor)))
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s: a LoRA for %s (tensor %s); those for Stable Diffusion 1.x and 2.x are read",
                        ons_safetensors_path(f), what, tensor);
    st = check_width(f, config);
fail:
    return st;
}
