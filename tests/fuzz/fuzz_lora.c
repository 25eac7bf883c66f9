/*
 * LoRA files over a small UNet and text encoder: whatever a file holds, it is merged or refused, and the sets
 * keep their shapes. The first byte tells whether a configuration of PEFT's, up to the next NUL, lies beside
 * the file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "fuzz.h"
#include "model/lora.h"

static const ons_unet_config unet_config = {.in_channels = 4,
                                            .out_channels = 4,
                                            .sample_size = 4,
                                            .n_levels = 2,
                                            .block_out_channels = {8, 16},
                                            .layers_per_block = {1, 1},
                                            .down_attention = {true, false},
                                            .up_attention = {false, true},
                                            .mid_attention = true,
                                            .mid_block = true,
                                            .mid_resnets = 2,
                                            .n_heads = {2, 2},
                                            .transformer_layers = {1, 1},
                                            .cross_attention_dim = 12,
                                            .norm_num_groups = 4,
                                            .norm_eps = 1e-5,
                                            .flip_sin_to_cos = true,
                                            .downsample_padding = 1};
static const ons_clip_config text_config = {.vocab_size = 20,
                                            .hidden_size = 12,
                                            .intermediate_size = 24,
                                            .num_hidden_layers = 1,
                                            .num_attention_heads = 2,
                                            .max_position_embeddings = 8,
                                            .hidden_act = ONS_OP_QUICK_GELU,
                                            .layer_norm_eps = 1e-5};

static void require(onestep_status st)
{
    if (st != ONESTEP_OK)
        abort();
}

/* Fresh sets every time: what one input adds must not reach the next. */
static void merge(const char *path)
{
    ons_params *unet, *text;
    ons_lora_report report;

    require(ons_params_create(&unet));
    require(ons_params_create(&text));
    require(ons_unet_declare(&unet_config, unet));
    require(ons_clip_declare(&text_config, text));
    if (ons_lora_merge(path, 0.5, &unet_config, unet, text, &report) == ONESTEP_OK &&
        report.n_unet + report.n_text < 1)
        abort();
    ons_params_destroy(&unet);
    ons_params_destroy(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size && data[0] == 'c' ? memchr(data, 0, size) : NULL;
    char path[128];

    ons_log_set_level(ONS_LOG_QUIET);
    remove(fuzz_path("adapter_config.json", path));
    if (end) {
        fuzz_put("adapter_config.json", data + 1, (size_t)(end - data - 1));
        size -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    fuzz_put("adapter_model.safetensors", data, size);
    merge(fuzz_path("adapter_model.safetensors", path));
    return 0;
}
