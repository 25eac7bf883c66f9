/*
 * Names of the original latent diffusion code, from diffusers' names. The UNet there is a flat list: every
 * convolution, ResNet (with its attention) and resampling has a number of its own, so that a number depends on
 * how many came before.
 */
#include <stdio.h>
#include <string.h>

#include "model/names.h"

/* "down_blocks.1.resnets.0.norm1.weight" taken apart from the left. */
static bool take(const char **at, const char *word)
{
    const size_t n = strlen(word);

    if (strncmp(*at, word, n))
        return false;
    *at += n;
    return true;
}

static bool take_number(const char **at, int *out)
{
    int n = 0;

    if (sscanf(*at, "%d%n", out, &n) != 1 || n == 0 || *out < 0 || (*at)[n] != '.')
        return false;
    *at += n + 1;
    return true;
}

typedef struct word_pair {
    const char *from, *to;
} word_pair;

/* `rest` with a leading word exchanged, else as it is. */
static bool finish(ons_place_in_file *place, const char *start, const char *rest, const word_pair *words,
                   size_t n_words)
{
    const char *word = "";

    for (size_t i = 0; i < n_words; i++)
        if (take(&rest, words[i].from)) {
            word = words[i].to;
            break;
        }
    *place = (ons_place_in_file){.n_parts = 1};
    return (size_t)snprintf(place->name, sizeof place->name, "%s%s%s", start, word, rest) < sizeof place->name;
}

static const word_pair unet_resnet[] = {
    {"norm1.", "in_layers.0."},  {"conv1.", "in_layers.2."},  {"time_emb_proj.", "emb_layers.1."},
    {"norm2.", "out_layers.0."}, {"conv2.", "out_layers.3."}, {"conv_shortcut.", "skip_connection."}};
enum { N_UNET_RESNET = sizeof unet_resnet / sizeof *unet_resnet };

/* Number of the first entry of level i: conv_in is 0, every level has its layers and, but for the last, a
 * resampling. */
static int first_input(const ons_unet_config *c, int level)
{
    int n = 1;

    for (int i = 0; i < level; i++)
        n += c->layers_per_block[i] + 1;
    return n;
}

/* Levels of the way up are counted from the deepest and have one layer more. */
static int up_layers(const ons_unet_config *c, int level)
{
    return c->layers_per_block[c->n_levels - 1 - level] + 1;
}

static int first_output(const ons_unet_config *c, int level)
{
    int n = 0;

    for (int i = 0; i < level; i++)
        n += up_layers(c, i);
    return n;
}

static bool down_name(const ons_unet_config *c, const char *at, ons_place_in_file *place)
{
    char start[64];
    int level, j;

    if (!take_number(&at, &level) || level >= c->n_levels)
        return false;
    if (take(&at, "downsamplers.0.conv.")) {
        snprintf(start, sizeof start, "input_blocks.%d.0.op.",
                 first_input(c, level) + c->layers_per_block[level]);
        return finish(place, start, at, NULL, 0);
    }
    if (take(&at, "resnets.") && take_number(&at, &j)) {
        snprintf(start, sizeof start, "input_blocks.%d.0.", first_input(c, level) + j);
        return finish(place, start, at, unet_resnet, N_UNET_RESNET);
    }
    if (take(&at, "attentions.") && take_number(&at, &j)) {
        snprintf(start, sizeof start, "input_blocks.%d.1.", first_input(c, level) + j);
        return finish(place, start, at, NULL, 0);
    }
    return false;
}

static bool up_name(const ons_unet_config *c, const char *at, ons_place_in_file *place)
{
    char start[64];
    int level, j;

    if (!take_number(&at, &level) || level >= c->n_levels)
        return false;
    if (take(
            &at,
            "upsamplers.0.conv.")) { /* behind the last layer's ResNet and, where there is one, its attention */
        snprintf(start, sizeof start, "output_blocks.%d.%d.conv.",
                 first_output(c, level) + up_layers(c, level) - 1, c->up_attention[level] ? 2 : 1);
        return finish(place, start, at, NULL, 0);
    }
    if (take(&at, "resnets.") && take_number(&at, &j)) {
        snprintf(start, sizeof start, "output_blocks.%d.0.", first_output(c, level) + j);
        return finish(place, start, at, unet_resnet, N_UNET_RESNET);
    }
    if (take(&at, "attentions.") && take_number(&at, &j)) {
        snprintf(start, sizeof start, "output_blocks.%d.1.", first_output(c, level) + j);
        return finish(place, start, at, NULL, 0);
    }
    return false;
}

static bool mid_name(const char *at, ons_place_in_file *place)
{
    if (take(&at, "resnets.0."))
        return finish(place, "middle_block.0.", at, unet_resnet, N_UNET_RESNET);
    if (take(&at, "attentions.0."))
        return finish(place, "middle_block.1.", at, NULL, 0);
    if (take(&at, "resnets.1."))
        return finish(place, "middle_block.2.", at, unet_resnet, N_UNET_RESNET);
    return false;
}

bool ons_unet_original_name(const ons_unet_config *c, const char *name, ons_place_in_file *place)
{
    static const word_pair top[] = {{"time_embedding.linear_1.", "time_embed.0."},
                                    {"time_embedding.linear_2.", "time_embed.2."},
                                    {"conv_in.", "input_blocks.0.0."},
                                    {"conv_norm_out.", "out.0."},
                                    {"conv_out.", "out.2."}};

    if (take(&name, "down_blocks."))
        return down_name(c, name, place);
    if (take(&name, "up_blocks."))
        return up_name(c, name, place);
    if (take(&name, "mid_block."))
        return mid_name(name, place);
    return finish(place, "", name, top, sizeof top / sizeof *top);
}

static bool vae_level(const ons_vae_config *c, const char *at, const char *half, ons_place_in_file *place)
{
    static const word_pair resnet[] = {{"conv_shortcut.", "nin_shortcut."}};
    const bool decoder = half[0] == 'd';
    char start[64];
    int level, j;

    if (!take_number(&at, &level) || level >= c->n_levels)
        return false;
    if (decoder)
        level = c->n_levels - 1 - level; /* counted from the finest there */
    if (take(&at, "resnets.") && take_number(&at, &j)) {
        snprintf(start, sizeof start, "%s.%s.%d.block.%d.", half, decoder ? "up" : "down", level, j);
        return finish(place, start, at, resnet, 1);
    }
    snprintf(start, sizeof start, "%s.%s.%d.%s.conv.", half, decoder ? "up" : "down", level,
             decoder ? "upsample" : "downsample");
    return take(&at, decoder ? "upsamplers.0.conv." : "downsamplers.0.conv.") &&
           finish(place, start, at, NULL, 0);
}

static bool vae_mid(const char *at, const char *half, ons_place_in_file *place)
{
    static const word_pair words[] = {{"resnets.0.conv_shortcut.", "mid.block_1.nin_shortcut."},
                                      {"resnets.0.", "mid.block_1."},
                                      {"resnets.1.", "mid.block_2."},
                                      {"attentions.0.group_norm.", "mid.attn_1.norm."},
                                      {"attentions.0.to_q.", "mid.attn_1.q."},
                                      {"attentions.0.to_k.", "mid.attn_1.k."},
                                      {"attentions.0.to_v.", "mid.attn_1.v."},
                                      {"attentions.0.to_out.0.", "mid.attn_1.proj_out."}};
    char start[16];

    snprintf(start, sizeof start, "%s.", half);
    return finish(place, start, at, words, sizeof words / sizeof *words);
}

bool ons_vae_original_name(const ons_vae_config *c, const char *name, ons_place_in_file *place)
{
    static const word_pair ends[] = {{"conv_norm_out.", "norm_out."}};
    const char *half = take(&name, "encoder.") ? "encoder" : take(&name, "decoder.") ? "decoder" : NULL;
    char start[16];

    if (!half)
        return finish(place, "", name, NULL, 0);
    if (take(&name, "down_blocks.") || take(&name, "up_blocks."))
        return vae_level(c, name, half, place);
    if (take(&name, "mid_block."))
        return vae_mid(name, half, place);
    snprintf(start, sizeof start, "%s.", half);
    return finish(place, start, name, ends, 1);
}

/* OpenCLIP keeps q, k and v in one tensor that is a parameter itself: in_proj_weight, not in_proj.weight. */
static bool in_projection(const char *start, const char *rest, int part, ons_place_in_file *place)
{
    *place = (ons_place_in_file){.part = part, .n_parts = 3};
    return (size_t)snprintf(place->name, sizeof place->name, "%sattn.in_proj_%s", start, rest) <
           sizeof place->name;
}

static bool clip_layer(const char *at, ons_place_in_file *place)
{
    static const word_pair words[] = {{"layer_norm1.", "ln_1."},
                                      {"layer_norm2.", "ln_2."},
                                      {"self_attn.out_proj.", "attn.out_proj."},
                                      {"mlp.fc1.", "mlp.c_fc."},
                                      {"mlp.fc2.", "mlp.c_proj."}};
    static const char *const parts[] = {"self_attn.q_proj.", "self_attn.k_proj.", "self_attn.v_proj."};
    char start[64];
    int layer;

    if (!take_number(&at, &layer))
        return false;
    snprintf(start, sizeof start, "transformer.resblocks.%d.", layer);
    for (int i = 0; i < 3; i++)
        if (take(&at, parts[i]))
            return in_projection(start, at, i, place);
    return finish(place, start, at, words, sizeof words / sizeof *words);
}

bool ons_clip_original_name(const char *name, ons_place_in_file *place)
{
    static const word_pair top[] = {{"embeddings.token_embedding.", "token_embedding."},
                                    {"embeddings.position_embedding.weight", "positional_embedding"},
                                    {"final_layer_norm.", "ln_final."}};

    take(&name, "text_model.");
    if (take(&name, "encoder.layers."))
        return clip_layer(name, place);
    return finish(place, "", name, top, sizeof top / sizeof *top);
}
