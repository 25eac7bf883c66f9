#!/usr/bin/env python3
"""Makes a tiny random pipeline folder with diffusers' and transformers' own classes, for onestep to open.

    python tests/reference/make_pipeline.py FOLDER [--old] [--like sd1|sd2]

--old writes what earlier generations of these libraries wrote: half-precision weights under the .fp16 variant name,
the text encoder's weights with their "text_model." prefix, the autoencoder's attention as query, key, value and
proj_attn, vocab.json and merges.txt, and torch_dtype in the text encoder's config.
--like gives the pipeline what Stable Diffusion 1.x or 2.x has and a file of weights does not tell: 32 groups, heads, activation,
block types; so that it can be written as a checkpoint in one file (make_single_file.py).
"""
import argparse
import json
import pathlib
import shutil
import tempfile

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

MERGES = ["c a", "t h", "ca t</w>", "th e</w>", "d o", "do g</w>"]
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_symbols():
    """CLIP's 256 symbols: printable bytes in order, then the others as U+0100 upward."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def vocabulary():
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + [m.replace(" ", "") for m in MERGES] + [START, END]
    return {t: i for i, t in enumerate(tokens)}


def write_tokenizer_files(folder, pad=END):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary(), ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(m + "\n" for m in MERGES))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16, "bos_token": START, "eos_token": END,
         "pad_token": pad, "unk_token": END}))
    (folder / "special_tokens_map.json").write_text(json.dumps(
        {"bos_token": START, "eos_token": END, "pad_token": pad, "unk_token": END}))


def make_tokenizer(pad=END):
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer_files(pathlib.Path(folder), pad)
        return CLIPTokenizer.from_pretrained(folder)


def make_models():
    torch.manual_seed(0)
    n = len(vocabulary())
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=n, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=16, bos_token_id=n - 2, eos_token_id=n - 1, pad_token_id=n - 1, projection_dim=16))
    unet = UNet2DConditionModel(
        block_out_channels=[16, 24], norm_num_groups=8, layers_per_block=1, cross_attention_dim=16, sample_size=8,
        attention_head_dim=2, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
    vae = AutoencoderKL(
        block_out_channels=[8, 16], norm_num_groups=4, layers_per_block=1, sample_size=16,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)
    return text, unet, vae


def make_models_like(second):
    torch.manual_seed(0)
    n = len(vocabulary())
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=n, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=1,
        max_position_embeddings=16, bos_token_id=n - 2, eos_token_id=n - 1, pad_token_id=0 if second else n - 1, projection_dim=64,
        hidden_act="gelu" if second else "quick_gelu"))
    unet = UNet2DConditionModel(
        block_out_channels=[64, 128, 128], layers_per_block=2, cross_attention_dim=64, sample_size=64,
        attention_head_dim=[1, 2, 2] if second else 8, use_linear_projection=second,
        down_block_types=["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2)
    vae = AutoencoderKL(
        block_out_channels=[32, 64], layers_per_block=2, sample_size=512,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2)
    return text, unet, vae


def scheduler():
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                         set_alpha_to_one=False, steps_offset=1)


def rewrite(folder, base, rename):
    """FOLDER/base.safetensors -> base.fp16.safetensors in half precision under other names."""
    source = folder / f"{base}.safetensors"
    tensors = {}
    for name, value in load_file(source).items():
        name, value = rename(name, value)
        tensors[name] = value.half().contiguous()
    save_file(tensors, folder / f"{base}.fp16.safetensors", metadata={"format": "pt"})
    source.unlink()


def old_text_name(name, value):
    return (name if name.startswith("text_model.") else f"text_model.{name}"), value


def old_vae_name(name, value):
    for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
        if f".{new}." in name:
            return name.replace(f".{new}.", f".{old}."), value
    return name, value


def make_old(folder):
    rewrite(folder / "unet", "diffusion_pytorch_model", lambda n, v: (n, v))
    rewrite(folder / "vae", "diffusion_pytorch_model", old_vae_name)
    rewrite(folder / "text_encoder", "model", old_text_name)
    config = folder / "text_encoder" / "config.json"
    fields = json.loads(config.read_text())
    fields["torch_dtype"] = fields.pop("dtype", "float16")
    config.write_text(json.dumps(fields))
    shutil.rmtree(folder / "tokenizer")
    write_tokenizer_files(folder / "tokenizer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--like", choices=["sd1", "sd2"])
    args = parser.parse_args()
    text, unet, vae = make_models_like(args.like == "sd2") if args.like else make_models()
    StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=make_tokenizer("!" if args.like == "sd2" else END), unet=unet, scheduler=scheduler(), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False).save_pretrained(args.folder)
    if args.old:
        make_old(args.folder)


if __name__ == "__main__":
    main()
