#!/usr/bin/env python3
"""Writes tests/models/vectors/: tiny random models with what PyTorch computes from them.

Needs torch, diffusers and transformers. Each case is NAME.json (the model's config.json) and NAME.safetensors
holding its weights ("w.", rounded to half precision so that every side starts from equal numbers), inputs
("in."), outputs ("out.") and, for one UNet, gradients ("g."). Activations are NHWC, as the engine has them;
weights and their gradients are in file order. Everything is computed in double precision.

    python tests/reference/make_vectors.py [--out tests/models/vectors]
"""
import argparse
import json
import pathlib

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from safetensors.torch import save_file
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel

SMALL = dict(block_out_channels=[8, 16], norm_num_groups=4, cross_attention_dim=12, layers_per_block=1,
             attention_head_dim=2, sample_size=8)

# name -> (config, latent height and width, text length)
UNETS = {
    "unet_plain": (dict(SMALL, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
                        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"]), (8, 6), 5),
    "unet_odd": (dict(SMALL, block_out_channels=[8, 8, 12], layers_per_block=[1, 2, 1],
                      attention_head_dim=[1, 2, 3], use_linear_projection=True, transformer_layers_per_block=[1, 2, 1],
                      down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                      up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]), (7, 9), 4),
    "unet_bare": (dict(SMALL, mid_block_type="UNetMidBlock2D", flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-4,
                       in_channels=3, out_channels=5, norm_num_groups=2,
                       down_block_types=["DownBlock2D", "CrossAttnDownBlock2D"],
                       up_block_types=["CrossAttnUpBlock2D", "UpBlock2D"]), (5, 8), 3),
    "unet_no_mid": (dict(SMALL, mid_block_type=None, block_out_channels=[8, 8], downsample_padding=0,
                         down_block_types=["DownBlock2D", "DownBlock2D"],
                         up_block_types=["UpBlock2D", "UpBlock2D"]), (8, 8), 3),
}
GRADIENTS_OF = "unet_plain"

VAES = {
    "vae": dict(block_out_channels=[8, 12], layers_per_block=1, norm_num_groups=4, latent_channels=4,
                scaling_factor=0.5, sample_size=16),
    "vae_no_attention": dict(block_out_channels=[4, 8, 8], layers_per_block=1, norm_num_groups=2, latent_channels=3,
                             mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False,
                             sample_size=16),
}

CLIPS = {"clip_quick_gelu": "quick_gelu", "clip_gelu": "gelu"}


def randomise(model, seed):
    """Every tensor away from its start (norms would be ones and zeros), then rounded to half precision."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            scale = 0.5 * p.abs().mean().clamp(min=0.1) if p.dim() < 2 else p.std()
            noise = torch.randn(p.shape, generator=generator) * scale
            p.copy_((p + noise if p.dim() < 2 else noise).half().float())
    return model.double().eval()


def weights_of(model):
    return {"w." + k: v.half().contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}


def nhwc(x):
    return x.detach().permute(0, 2, 3, 1).float().contiguous()


def write(out, name, config, tensors):
    keep = {k: v for k, v in config.items() if not k.startswith("_name")}
    (out / f"{name}.json").write_text(json.dumps(keep, indent=1, sort_keys=True) + "\n")
    save_file(tensors, out / f"{name}.safetensors")


def config_of(model):
    return json.loads(model.to_json_string()) if hasattr(model, "to_json_string") else model.config.to_dict()


def make_unet(out, name, config, size, n_tokens):
    torch.manual_seed(0)
    model = randomise(UNet2DConditionModel(**config), 1)
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, model.config.in_channels, *size, generator=generator).float().double()
    context = torch.randn(2, n_tokens, config["cross_attention_dim"], generator=generator).float().double()
    t = torch.tensor([999.0, 37.0], dtype=torch.float64)
    gradients = name == GRADIENTS_OF
    x.requires_grad_(gradients)
    context.requires_grad_(gradients)
    y = model(x, t, context).sample
    tensors = weights_of(model) | {"in.x": nhwc(x), "in.t": t.float(), "in.context": context.detach().float(),
                                   "out.y": nhwc(y)}
    if gradients:
        seed = torch.randn(y.shape, generator=generator).float().double()
        (y * seed).sum().backward()
        tensors |= {"g." + k: p.grad.float().contiguous() for k, p in model.named_parameters()}
        tensors |= {"in.seed": nhwc(seed), "out.dx": nhwc(x.grad), "out.dcontext": context.grad.float()}
    write(out, name, config_of(model), tensors)


def make_vae(out, name, config):
    torch.manual_seed(0)
    n = len(config["block_out_channels"])
    model = randomise(AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * n,
                                    up_block_types=["UpDecoderBlock2D"] * n, **config), 3)
    generator = torch.Generator().manual_seed(4)
    side = 4 << (n - 1)
    pixels = torch.randn(1, 3, side, 2 * side, generator=generator).float().double()
    latent = torch.randn(2, config["latent_channels"], 3, 4, generator=generator).float().double()
    tensors = weights_of(model) | {"in.pixels": nhwc(pixels), "in.latent": nhwc(latent)}
    tensors["out.moments"] = nhwc(model.encode(pixels).latent_dist.parameters)
    tensors["out.pixels"] = nhwc(model.decode(latent).sample)
    write(out, name, config_of(model), tensors)


def make_tiny_vae(out):
    torch.manual_seed(0)
    model = randomise(AutoencoderTiny(encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 2, 1),
                                      num_decoder_blocks=(2, 1, 1)), 9)
    generator = torch.Generator().manual_seed(10)
    pixels = torch.randn(2, 3, 12, 20, generator=generator).float().double()
    latent = 2 * torch.randn(2, 4, 3, 5, generator=generator).float().double()
    tensors = weights_of(model) | {"in.pixels": nhwc(pixels), "in.latent": nhwc(latent)}
    tensors["out.moments"] = nhwc(model.encode(pixels).latents)
    tensors["out.pixels"] = nhwc(model.decode(latent).sample)
    write(out, "vae_tiny", config_of(model), tensors)


def make_clip(out, name, act):
    torch.manual_seed(0)
    config = CLIPTextConfig(vocab_size=50, hidden_size=16, intermediate_size=40, num_hidden_layers=2,
                            num_attention_heads=4, max_position_embeddings=9, hidden_act=act, bos_token_id=48,
                            eos_token_id=49, pad_token_id=49, projection_dim=16)
    model = randomise(CLIPTextModel(config), 5)
    generator = torch.Generator().manual_seed(6)
    ids = torch.randint(0, 48, (2, 9), generator=generator)
    ids[:, 0], ids[:, 6:] = 48, 49
    y = model(input_ids=ids).last_hidden_state
    write(out, name, json.loads(config.to_json_string()) | {"architectures": ["CLIPTextModel"]},
          weights_of(model) | {"in.ids": ids.int(), "out.y": y.detach().float()})


def make_features(out):
    """The feature network has no class in diffusers: here it is once more, from PyTorch's functions."""
    name, levels, side, width = "features", [8, 12], 10, 16
    generator = torch.Generator().manual_seed(7)
    torch.manual_seed(0)
    text = CLIPTextConfig(vocab_size=50, hidden_size=width, intermediate_size=24, num_hidden_layers=1,
                          num_attention_heads=2, max_position_embeddings=9, hidden_act="quick_gelu", bos_token_id=48,
                          eos_token_id=49, pad_token_id=49)
    tower = randomise(CLIPTextModel(text), 8)
    weights = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in tower.state_dict().items()
               if v.is_floating_point()}

    def draw(key, *shape, scale=0.3, shift=0.0):
        weights[key] = (torch.randn(*shape, generator=generator) * scale + shift).half().double()
        return weights[key]

    pixels = torch.randn(2, 3, side, side, generator=generator).float().double()
    tensors, x, channels = {"in.pixels": nhwc(pixels)}, pixels, 3
    for i, n in enumerate(levels):
        for j in (1, 2):
            key = f"image_model.levels.{i}.{j}"
            x = functional.conv2d(x, draw(f"{key}.conv.weight", n, channels, 3, 3), draw(f"{key}.conv.bias", n),
                                  padding=1)
            x = functional.group_norm(x, 4, draw(f"{key}.norm.weight", n, shift=1.0), draw(f"{key}.norm.bias", n), 1e-5)
            x, channels = functional.relu(x), n
        tensors[f"out.level{i}"] = nhwc(x)
        x = functional.avg_pool2d(x, 2) if i + 1 < len(levels) else x
    x = x.mean((2, 3)) @ draw("image_model.projection.weight", 20, channels).T
    tensors["out.image"] = functional.normalize(x, dim=1).float()
    ids = torch.randint(0, 48, (3, 9), generator=generator)
    ends = torch.tensor([3, 8, 5])
    states = tower(input_ids=ids).last_hidden_state[torch.arange(3), ends]
    x = states @ draw("text_projection.weight", 20, width).T
    tensors |= {"in.ids": ids.int(), "in.ends": ends.int(), "out.text": functional.normalize(x, dim=1).detach().float()}
    tensors |= {"w." + k: v.detach().half().contiguous() for k, v in weights.items()}
    write(out, name, {"_class_name": "OnestepFeatures", "channels": levels, "image_size": side, "norm_num_groups": 4,
                      "embed_dim": 20, "text_config": text.to_dict()}, tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "models" / "vectors")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, (config, size, n_tokens) in UNETS.items():
        make_unet(out, name, config, size, n_tokens)
    for name, config in VAES.items():
        make_vae(out, name, config)
    make_tiny_vae(out)
    for name, act in CLIPS.items():
        make_clip(out, name, act)
    make_features(out)


if __name__ == "__main__":
    main()
