/* Telling files of weights apart. The first row that fits any tensor decides, so the special stands before the
 * general. */
#include "model/recognise.h"

#include <string.h>

typedef struct sign {
    const char *text; /* how some tensor's name begins; with a leading *, what stands anywhere in it */
    ons_weights_kind kind;
    const char *description;
} sign;

static const char unet[] = "a UNet alone", vae[] = "an autoencoder alone", text[] = "a text encoder alone",
                  lora[] = "a LoRA, a change to another model's weights", control[] = "a ControlNet",
                  inversion[] = "a textual inversion, a new word for another model";

static const sign signs[] = {
    {"*lora_down.", ONS_WEIGHTS_LORA, lora},
    {"*lora_A.", ONS_WEIGHTS_LORA, lora},
    {"*lora.down.", ONS_WEIGHTS_LORA, lora},
    {"*_lora.down.", ONS_WEIGHTS_LORA, lora},
    {"*lora_linear_layer.down.", ONS_WEIGHTS_LORA, lora},
    {"*lora_up.", ONS_WEIGHTS_LORA, lora},
    {"*lora_B.", ONS_WEIGHTS_LORA, lora},
    {"*.hada_w1_a", ONS_WEIGHTS_LORA, "a LoHa, a change to another model's weights"},
    {"*.lokr_w1", ONS_WEIGHTS_LORA, "a LoKr, a change to another model's weights"},
    {"*time_stack.", ONS_WEIGHTS_FOREIGN, "a video model (Stable Video Diffusion)"},
    {"*.oft_", ONS_WEIGHTS_LORA, "an OFT, a change to another model's weights"},
    {"lora_unet_", ONS_WEIGHTS_LORA, "a change to another model's weights"},
    {"*joint_blocks.0.", ONS_WEIGHTS_FOREIGN, "Stable Diffusion 3, a transformer with three text encoders"},
    {"*transformer_blocks.0.attn.add_k_proj.", ONS_WEIGHTS_FOREIGN,
     "a transformer of the Stable Diffusion 3 or Flux family"},
    {"*double_blocks.0.", ONS_WEIGHTS_FOREIGN, "Flux, a transformer with two text encoders"},
    {"*single_transformer_blocks.0.", ONS_WEIGHTS_FOREIGN, "Flux, a transformer with two text encoders"},
    {"conditioner.embedders.1.", ONS_WEIGHTS_FOREIGN, "SDXL, which has two text encoders"},
    {"conditioner.embedders.0.model.", ONS_WEIGHTS_FOREIGN, "the SDXL refiner"},
    {"*controlnet_cond_embedding.", ONS_WEIGHTS_FOREIGN, control},
    {"*input_hint_block.", ONS_WEIGHTS_FOREIGN, control},
    {"*lllite_", ONS_WEIGHTS_FOREIGN, control},
    {"control_model.", ONS_WEIGHTS_FOREIGN, control},
    {"adapter.body.", ONS_WEIGHTS_FOREIGN, "a T2I-Adapter"},
    {"ip_adapter.", ONS_WEIGHTS_FOREIGN, "an IP-Adapter"},
    {"image_proj.", ONS_WEIGHTS_FOREIGN, "an IP-Adapter"},
    {"*add_embedding.linear_1.", ONS_WEIGHTS_FOREIGN, "a UNet of SDXL, which has two text encoders"},
    {"*label_emb.0.0.", ONS_WEIGHTS_FOREIGN, "a UNet of SDXL, which has two text encoders"},
    {"*temporal_transformer.", ONS_WEIGHTS_FOREIGN, "a motion module for video"},
    {"emb_params", ONS_WEIGHTS_FOREIGN, inversion},
    {"clip_g", ONS_WEIGHTS_FOREIGN, inversion},
    {"<", ONS_WEIGHTS_FOREIGN, inversion},
    {"*encoder.block.0.layer.0.", ONS_WEIGHTS_FOREIGN, "a T5 text encoder"},
    {"vision_model.", ONS_WEIGHTS_FOREIGN, "CLIP with its image encoder"},
    {"*caption_projection.", ONS_WEIGHTS_FOREIGN, "a transformer of the PixArt family"},
    {"*clip_txt_mapper.", ONS_WEIGHTS_FOREIGN, "Stable Cascade"},
    {"model.diffusion_model.", ONS_WEIGHTS_CHECKPOINT, "a checkpoint in one file"},
    {"decoder.layers.", ONS_WEIGHTS_TINY_VAE, "a tiny autoencoder"},
    {"1.conv.0.", ONS_WEIGHTS_TINY_ENCODER, "the encoder of a tiny autoencoder alone"},
    {"3.conv.0.", ONS_WEIGHTS_TINY_VAE, "the decoder of a tiny autoencoder"},
    {"input_blocks.0.0.", ONS_WEIGHTS_UNET, unet},
    {"unet.conv_in.", ONS_WEIGHTS_UNET, unet},
    {"down_blocks.0.", ONS_WEIGHTS_UNET, unet},
    {"first_stage_model.", ONS_WEIGHTS_VAE, vae},
    {"decoder.up", ONS_WEIGHTS_VAE, vae},
    {"cond_stage_model.", ONS_WEIGHTS_TEXT, text},
    {"text_model.encoder.layers.31.", ONS_WEIGHTS_FOREIGN, "the second text encoder of SDXL"},
    {"text_model.", ONS_WEIGHTS_TEXT, text},
    {"embeddings.token_embedding.", ONS_WEIGHTS_TEXT, text},
    {"transformer.resblocks.", ONS_WEIGHTS_TEXT, text},
    {"blocks.0.", ONS_WEIGHTS_FOREIGN, "a diffusion transformer"},
    {"transformer_blocks.0.", ONS_WEIGHTS_FOREIGN, "a diffusion transformer"},
};

static bool fits(const sign *s, const char *name)
{
    return s->text[0] == '*' ? strstr(name, s->text + 1) != NULL : !strncmp(name, s->text, strlen(s->text));
}

ons_weights_kind ons_weights_recognise(const ons_safetensors *f, const char **description)
{
    for (size_t k = 0; k < sizeof signs / sizeof *signs; k++)
        for (int i = 0; i < ons_safetensors_count(f); i++)
            if (fits(&signs[k], ons_safetensors_at(f, i)->name)) {
                *description = signs[k].description;
                return signs[k].kind;
            }
    *description = "nothing that onestep knows";
    return ONS_WEIGHTS_UNKNOWN;
}

static const char *name_kind(ons_weights_kind kind)
{
    switch (kind) {
    case ONS_WEIGHTS_CHECKPOINT:
        return "a checkpoint of Stable Diffusion 1.x or 2.x in one file (model.diffusion_model.…, "
               "first_stage_model.…, "
               "cond_stage_model.…)";
    case ONS_WEIGHTS_UNET:
        return "a UNet";
    case ONS_WEIGHTS_VAE:
        return "an autoencoder";
    case ONS_WEIGHTS_TINY_VAE:
        return "a tiny autoencoder (TAESD)";
    case ONS_WEIGHTS_TINY_ENCODER:
        return "the encoder of a tiny autoencoder";
    case ONS_WEIGHTS_TEXT:
        return "a text encoder";
    case ONS_WEIGHTS_LORA:
        return "a LoRA";
    default:
        return "something else";
    }
}

/* Which option takes a file of that kind. */
static const char *way_out(ons_weights_kind kind)
{
    switch (kind) {
    case ONS_WEIGHTS_CHECKPOINT:
        return "; give it as -m";
    case ONS_WEIGHTS_UNET:
        return "; give the model that it belongs to as -m and this file as --unet";
    case ONS_WEIGHTS_VAE:
        return "; give it as --vae beside -m";
    case ONS_WEIGHTS_TINY_VAE:
        return "; give it as --taesd beside -m";
    case ONS_WEIGHTS_TINY_ENCODER:
        return "; give its decoder as --taesd: the encoder is found beside it";
    case ONS_WEIGHTS_TEXT:
        return "; it is only read as part of a model (-m)";
    case ONS_WEIGHTS_LORA:
        return "; give the model that it changes as -m and this file as --lora";
    default:
        return "";
    }
}

static onestep_status refuse_unknown(const ons_safetensors *f, const char *description,
                                     ons_weights_kind expected)
{
    const int n = ons_safetensors_count(f);

    if (n == 0)
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: holds no tensors; %s is expected", ons_safetensors_path(f),
                        name_kind(expected));
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: this is %s (%d tensor%s, the first is %s); %s is expected",
                    ons_safetensors_path(f), description, n, n == 1 ? "" : "s", ons_safetensors_at(f, 0)->name,
                    name_kind(expected));
}

onestep_status ons_weights_expect(const ons_safetensors *f, ons_weights_kind expected)
{
    const char *description;
    const ons_weights_kind kind = ons_weights_recognise(f, &description);

    if (kind == expected)
        return ONESTEP_OK;
    if (kind == ONS_WEIGHTS_UNKNOWN)
        return refuse_unknown(f, description, expected);
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: this is %s; %s is expected%s", ons_safetensors_path(f),
                    description, name_kind(expected), way_out(kind));
}
