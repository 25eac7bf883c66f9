#!/usr/bin/env python3
"""Writes a diffusers folder as a Stable Diffusion checkpoint in one file, and the table of names that the tests compare with.

    python tests/reference/make_single_file.py convert FOLDER OUT.safetensors [--half]
    python tests/reference/make_single_file.py names OUT.txt

Renaming is done here; that it is right is shown by diffusers' own converters, which must give back every tensor under its name.
A text encoder with the activation "gelu" is written as OpenCLIP's, with q, k and v in one tensor and one unused layer more.
The table has one line per tensor: part, diffusers' name, original name, which of how many equal parts.
"""
import argparse
import pathlib
import re
import types

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as converters
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
          "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def unet_entries(config):
    """Module of diffusers -> module of the original code, by numbering the original's flat lists in order."""
    table = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
             "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
             "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
    levels = len(config.block_out_channels)
    layers = config.layers_per_block
    layers = [layers] * levels if isinstance(layers, int) else list(layers)
    number = 1
    for i in range(levels):
        for j in range(layers[i]):
            table[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{number}.0"
            table[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{number}.1"
            number += 1
        if i < levels - 1:
            table[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    number = 0
    for i in range(levels):
        attention = "Attn" in config.up_block_types[i]
        for j in range(layers[levels - 1 - i] + 1):
            table[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{number}.0"
            table[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{number}.1"
            number += 1
        table[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{number - 1}.{2 if attention else 1}.conv"
    return table


def unet_name(config, name):
    table = unet_entries(config)
    module = max((m for m in table if name.startswith(m + ".")), key=len)
    rest = name[len(module) + 1:]
    if ".resnets." in module:
        word = rest.split(".")[0]
        rest = RESNET[word] + rest[len(word):]
    return f"{table[module]}.{rest}"


def vae_name(config, name):
    last = len(config.block_out_channels) - 1
    for new, old in (("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"), ("mid_block.resnets.0", "mid.block_1"),
                     ("mid_block.resnets.1", "mid.block_2"), ("mid_block.attentions.0", "mid.attn_1"), ("group_norm", "norm"),
                     ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"),
                     ("downsamplers.0.conv", "downsample.conv"), ("upsamplers.0.conv", "upsample.conv"), ("resnets", "block")):
        name = name.replace(f".{new}.", f".{old}.")
    name = re.sub(r"down_blocks\.", "down.", name)
    return re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{last - int(m[1])}", name)


def open_clip_name(name):
    """(name, part, of how many)"""
    name = name.removeprefix("text_model.")
    for new, old in (("embeddings.token_embedding", "token_embedding"), ("embeddings.position_embedding.weight", "positional_embedding"),
                     ("final_layer_norm", "ln_final"), ("encoder.layers", "transformer.resblocks"), ("layer_norm1", "ln_1"),
                     ("layer_norm2", "ln_2"), ("self_attn.out_proj", "attn.out_proj"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
        name = name.replace(new, old)
    joined = re.fullmatch(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)", name)
    if joined:
        return f"{joined[1]}attn.in_proj_{joined[3]}", "qkv".index(joined[2]), 3
    return name, 0, 1


def long_name(name):
    return name if name.startswith("text_model.") else f"text_model.{name}"


def original_unet(config, state):
    return {"model.diffusion_model." + unet_name(config, k): v for k, v in state.items()}


def original_vae(config, state):
    def shaped(name, v):
        return v[:, :, None, None] if ".attentions." in name and v.dim() == 2 else v
    return {"first_stage_model." + vae_name(config, k): shaped(k, v) for k, v in state.items()}


def original_text(config, state):
    if config.hidden_act != "gelu":
        return {"cond_stage_model.transformer." + long_name(k): v for k, v in state.items()}
    prefix, out, joined = "cond_stage_model.model.", {}, {}
    for k, v in state.items():
        name, part, parts = open_clip_name(k)
        if parts == 1:
            out[prefix + name] = v
        else:
            joined.setdefault(name, {})[part] = v
    for name, values in joined.items():
        out[prefix + name] = torch.cat([values[i] for i in range(3)])
    layers = config.num_hidden_layers
    unused = {k.replace(f"resblocks.{layers - 1}.", f"resblocks.{layers}."): torch.full_like(v, 7.0) for k, v in out.items()
              if f"resblocks.{layers - 1}." in k}
    return {**out, **unused, prefix + "text_projection": torch.zeros(config.hidden_size, config.hidden_size),
            prefix + "logit_scale": torch.tensor(1.0)}


def must_equal(what, ours, theirs):
    """`theirs`: what diffusers' converter made of the original names; `ours`: the state that it must be."""
    for name, value in ours.items():
        found = theirs.get(name)
        if found is None or not torch.equal(found.reshape(value.shape).float(), value.float()):
            raise SystemExit(f"{what}: diffusers' converter does not give {name} back")


def verify(unet, vae, text, checkpoint):
    must_equal("unet", unet.state_dict(), converters.convert_ldm_unet_checkpoint(dict(checkpoint), dict(unet.config)))
    must_equal("vae", vae.state_dict(), converters.convert_ldm_vae_checkpoint(dict(checkpoint), dict(vae.config)))
    layers = text.config.num_hidden_layers
    if text.config.hidden_act == "gelu":
        used = {k: v for k, v in checkpoint.items() if f".resblocks.{layers}." not in k}
        theirs = converters.convert_open_clip_checkpoint(types.SimpleNamespace(config=text.config), used)
    else:
        theirs = converters.convert_ldm_clip_checkpoint(dict(checkpoint))
    theirs = {long_name(k): v for k, v in theirs.items()}
    must_equal("text encoder", {long_name(k): v for k, v in text.state_dict().items() if "position_ids" not in k}, theirs)


def original(unet, vae, text):
    text_state = {k: v for k, v in text.state_dict().items() if "position_ids" not in k}
    checkpoint = {**original_unet(unet.config, unet.state_dict()), **original_vae(vae.config, vae.state_dict()),
                  **original_text(text.config, text_state)}
    verify(unet, vae, text, checkpoint)
    return checkpoint


def convert(args):
    unet = UNet2DConditionModel.from_pretrained(args.folder, subfolder="unet")
    vae = AutoencoderKL.from_pretrained(args.folder, subfolder="vae")
    text = CLIPTextModel.from_pretrained(args.folder, subfolder="text_encoder")
    checkpoint = original(unet, vae, text)
    save_file({k: (v.half() if args.half else v).contiguous() for k, v in checkpoint.items()}, args.out)
    print(f"{args.out}: {len(checkpoint)} tensors, verified by diffusers")


def small(depths):
    """Stable Diffusion's block structure, with other depths where given, at widths that are quick to make."""
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        block_out_channels=[8, 8, 16, 16], norm_num_groups=4, layers_per_block=depths, cross_attention_dim=16, attention_head_dim=2,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3)
    vae = AutoencoderKL(block_out_channels=[4, 4, 8, 8], norm_num_groups=4, layers_per_block=2, down_block_types=["DownEncoderBlock2D"] * 4,
                        up_block_types=["UpDecoderBlock2D"] * 4)
    return unet, vae


def text_encoder(layers, act):
    return CLIPTextModel(CLIPTextConfig(vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
                                        num_attention_heads=2, max_position_embeddings=8, hidden_act=act))


def names(args):
    lines = []
    for kind, depths, text in (("sd", 2, text_encoder(12, "quick_gelu")), ("sd2", 2, text_encoder(23, "gelu"))):
        unet, vae = small(depths)
        original(unet, vae, text)
        if kind == "sd":
            lines += [f"unet {k} {unet_name(unet.config, k)} 0 1" for k in unet.state_dict()]
            lines += [f"vae {k} {vae_name(vae.config, k)} 0 1" for k in vae.state_dict()]
        else:
            lines += [f"text {long_name(k)} {n} {p} {m}" for k in text.state_dict() if "position_ids" not in k
                      for n, p, m in [open_clip_name(k)]]
    args.out.write_text("\n".join(lines) + "\n")
    print(f"{args.out}: {len(lines)} names, verified by diffusers")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("convert")
    one.add_argument("folder", type=pathlib.Path)
    one.add_argument("out", type=pathlib.Path)
    one.add_argument("--half", action="store_true")
    one.set_defaults(run=convert)
    two = commands.add_parser("names")
    two.add_argument("out", type=pathlib.Path)
    two.set_defaults(run=names)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
