#!/usr/bin/env python3
"""Writes tests/models/vectors/lora_*.safetensors: LoRA files in the naming schemes in use, and what diffusers merges them to.

    python tests/reference/make_lora_vectors.py

The models are the vectors' unet_plain and clip_quick_gelu. Each scheme has a file as it is published (lora_SCHEME.safetensors) and one with the merged weights at
strength 0.7 (lora_SCHEME_merged.safetensors), fused by diffusers and peft. Needs torch, diffusers and peft.
"""
import json
import pathlib

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "models" / "vectors"
RANK, STRENGTH = 2, 0.7
ALPHA = 1.5  # of all: with several, diffusers 0.42 gives those of q, k and v to the wrong modules, and says so in a warning
BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0"
ATTENTION = [f"{BLOCK}.attn1.to_q", f"{BLOCK}.attn1.to_out.0", f"{BLOCK}.attn2.to_k", "mid_block.attentions.0.transformer_blocks.0.attn2.to_v"]
LINEAR = ATTENTION + [f"{BLOCK}.ff.net.0.proj", f"{BLOCK}.ff.net.2", "up_blocks.1.attentions.1.proj_out"]
CONVOLUTIONS = ["down_blocks.0.resnets.0.conv1", "down_blocks.0.downsamplers.0.conv", "down_blocks.1.resnets.0.conv_shortcut"]
TEXT = ["encoder.layers.0.self_attn.q_proj", "encoder.layers.0.self_attn.v_proj", "encoder.layers.1.self_attn.out_proj"]
EARLY_TEXT = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def weights(name):
    return {k[2:]: v.float() for k, v in load_file(FOLDER / f"{name}.safetensors").items() if k.startswith("w.")}


def base():
    unet = UNet2DConditionModel.from_config(json.loads((FOLDER / "unet_plain.json").read_text()))
    unet.load_state_dict(weights("unet_plain"))
    return unet


def text_base():
    clip = CLIPTextModel(CLIPTextConfig(**json.loads((FOLDER / "clip_quick_gelu.json").read_text())))
    clip.load_state_dict(weights("clip_quick_gelu"))
    return clip


def factors(unet, modules):
    """module -> (down, up), of the shapes that trainers write."""
    generator = torch.Generator().manual_seed(3)
    out = {}
    for name in modules:
        w = unet.get_submodule(name).weight
        down = 0.3 * torch.randn(RANK, *w.shape[1:], generator=generator)
        up = 0.3 * torch.randn(w.shape[0], RANK, *([1, 1] if w.dim() == 4 else []), generator=generator)
        out[name] = (down.half(), up.half())
    return out


def kohya(unet):
    tensors = {}
    for name, (down, up) in factors(unet, LINEAR).items():
        stem = "lora_unet_" + name.replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(ALPHA).half()}
    return tensors, None


def peft(unet):
    tensors = {}
    for name, (down, up) in factors(unet, LINEAR + CONVOLUTIONS).items():
        tensors |= {f"unet.{name}.lora_A.weight": down, f"unet.{name}.lora_B.weight": up}
    modules = LINEAR + CONVOLUTIONS
    return tensors, {"unet.r": RANK, "unet.lora_alpha": 3, "unet.target_modules": modules, "unet.use_rslora": False}


def patterns(unet):
    tensors, metadata = peft(unet)
    alphas = {LINEAR[0]: 1, CONVOLUTIONS[0]: 5}
    return tensors, metadata | {"unet.alpha_pattern": alphas, "unet.rank_pattern": {}}


def text_kohya(clip):
    tensors = {}
    for name, (down, up) in factors(clip, TEXT + ["encoder.layers.1.mlp.fc1"]).items():
        stem = "lora_te_text_model_" + name.replace(".", "_")
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up, f"{stem}.alpha": torch.tensor(ALPHA).half()}
    return tensors, None


def text_peft(clip):
    tensors = {}
    for name, (down, up) in factors(clip, TEXT + ["encoder.layers.1.mlp.fc2"]).items():
        tensors |= {f"text_encoder.text_model.{name}.lora_A.weight": down, f"text_encoder.text_model.{name}.lora_B.weight": up}
    return tensors, None


def text_linear_layer(clip):
    """Between early diffusers and PEFT."""
    tensors = {}
    for name, (down, up) in factors(clip, TEXT).items():
        stem = f"text_encoder.text_model.{name}.lora_linear_layer"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return tensors, None


def text_early(clip):
    tensors = {}
    for name, (down, up) in factors(clip, TEXT).items():
        block, projection = name.rsplit(".", 1)
        stem = f"text_encoder.text_model.{block}.{EARLY_TEXT[projection]}_lora"
        tensors |= {f"{stem}.down.weight": down, f"{stem}.up.weight": up}
    return tensors, None


def early(unet):
    tensors = {}
    for name, (down, up) in factors(unet, ATTENTION).items():
        block, projection = name.replace("to_out.0", "to_out").rsplit(".", 1)
        tensors |= {f"unet.{block}.processor.{projection}_lora.down.weight": down, f"unet.{block}.processor.{projection}_lora.up.weight": up}
    return tensors, None


def original(unet):
    """Kohya's names over the original code's modules; diffusers does not read these for Stable Diffusion, so they are those of `kohya` renamed."""
    renamed = {"down_blocks_0_attentions_0": "input_blocks_1_1", "mid_block_attentions_0": "middle_block_1",
               "up_blocks_1_attentions_1": "output_blocks_3_1"}
    tensors = {}
    for name, value in kohya(unet)[0].items():
        for new, old in renamed.items():
            name = name.replace(new, old)
        tensors[name] = value
    return tensors, None


def merge(path):
    unet = base()
    before = {k: v.clone() for k, v in unet.state_dict().items()}
    state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(str(path), return_lora_metadata=True)
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet, metadata=metadata)
    unet.fuse_lora(STRENGTH)
    unet.unload_lora()
    after = unet.state_dict()
    return {k: after[k].contiguous() for k in before if not torch.equal(before[k], after[k])}


def merge_text(path):
    """Names as onestep has them, with text_model."""
    clip = text_base()
    before = {k: v.clone() for k, v in clip.state_dict().items()}
    state, alphas = StableDiffusionPipeline.lora_state_dict(str(path))
    StableDiffusionPipeline.load_lora_into_text_encoder(state, alphas, clip, prefix="text_encoder")
    for module in clip.modules():
        if isinstance(module, BaseTunerLayer):
            for name in module.scaling:
                module.scaling[name] *= STRENGTH
            module.merge()
    after = {k.replace(".base_layer", ""): v for k, v in clip.state_dict().items()}
    return {f"text_model.{k}": after[k].contiguous() for k in before if not torch.equal(before[k], after[k])}


def write(scheme, make, merged_from=None):
    text = scheme.startswith("text_")
    tensors, metadata = make(text_base() if text else base())
    path = FOLDER / f"lora_{scheme}.safetensors"
    save_file(tensors, path, metadata={"lora_adapter_metadata": json.dumps(metadata)} if metadata else None)
    merged = (merge_text if text else merge)(merged_from or path)
    expected = sum(1 for k in tensors if "lora_down" in k or ".down." in k or "lora_A" in k)
    if len(merged) != expected:
        raise SystemExit(f"{scheme}: diffusers changed {len(merged)} weights, the file has {expected}")
    save_file(merged, FOLDER / f"lora_{scheme}_merged.safetensors")
    print(f"{scheme}: {len(merged)} weights")


def main():
    write("kohya", kohya)
    write("peft", peft)
    write("patterns", patterns)
    write("early", early)
    write("original", original, FOLDER / "lora_kohya.safetensors")
    for make in text_kohya, text_peft, text_linear_layer, text_early:
        write(make.__name__, make)
    with safe_open(FOLDER / "lora_peft.safetensors", "pt") as f:
        assert "lora_adapter_metadata" in f.metadata()


if __name__ == "__main__":
    main()
