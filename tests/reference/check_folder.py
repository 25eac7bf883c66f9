#!/usr/bin/env python3
"""Opens a pipeline folder in diffusers and in onestep and compares the pictures of both, given the same seed.

    python tests/reference/check_folder.py ONESTEP FOLDER [--variant fp16] [--steps N] [--file CHECKPOINT] [--side PIXELS] [--teacher TEACHER] [--taesd TINY]

ONESTEP is the program. A student's folder (onestep.json has a timestep) is sampled in one step by the scheduler that
the folder names; others with DDIM in N steps at guidance 3. With --file onestep draws from that checkpoint and diffusers from the
folder that it was made of (make_single_file.py). With --taesd both decode with that tiny autoencoder. With --teacher diffusers draws from TEACHER with FOLDER's pytorch_lora_weights.safetensors. Fails when a channel differs by more than 2 of 255.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import AutoencoderTiny, DDIMScheduler, LCMScheduler, StableDiffusionPipeline
from PIL import Image

PROMPT, SEED = "the cat", 7


def card_of(folder):
    path = folder / "onestep.json"
    return json.loads(path.read_text()) if path.exists() else {}


def settings_of(card, steps):
    """(arguments of the pipeline, arguments of onestep)"""
    if card.get("timestep", -1) < 0:
        return (dict(num_inference_steps=steps, guidance_scale=3.0),
                ["--steps", str(steps), "--cfg-scale", "3", "--sampler", "ddim"])
    call = dict(num_inference_steps=1, guidance_scale=1.0)
    if card["timestep"] != 999:
        call["timesteps"] = [card["timestep"]]
    return call, []


def open_in_diffusers(folder, variant, teacher, taesd):
    """Students as their folder says; what is no student under DDIM, whatever scheduler it names."""
    if teacher:
        pipe = StableDiffusionPipeline.from_pretrained(teacher, scheduler=LCMScheduler.from_pretrained(folder / "scheduler"))
        pipe.load_lora_weights(folder)
        return pipe
    parts = dict(vae=AutoencoderTiny.from_pretrained(taesd, torch_dtype=torch.float32)) if taesd else {}
    pipe = StableDiffusionPipeline.from_pretrained(folder, variant=variant, torch_dtype=torch.float32, **parts)
    if card_of(folder).get("timestep", -1) < 0:
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    return pipe


def paint_in_diffusers(folder, variant, teacher, taesd, call):
    pipe = open_in_diffusers(folder, variant, teacher, taesd)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    return numpy.asarray(pipe(PROMPT, generator=generator, **call).images[0])


def paint_in_onestep(program, model, arguments):
    with tempfile.TemporaryDirectory() as out:
        path = pathlib.Path(out) / "picture.png"
        subprocess.run([program, "generate", "-m", model, "-p", PROMPT, "-o", path, "--seed", str(SEED), "--type", "f32", "--rng",
                        "torch", *arguments], check=True)
        return numpy.asarray(Image.open(path).convert("RGB"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--variant")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--file", type=pathlib.Path)
    parser.add_argument("--side", type=int, help="default: the model's own size")
    parser.add_argument("--teacher", type=pathlib.Path)
    parser.add_argument("--taesd", type=pathlib.Path)
    args = parser.parse_args()
    call, arguments = settings_of(card_of(args.folder), args.steps)
    if args.side:
        call.update(width=args.side, height=args.side)
        arguments = [*arguments, "-W", str(args.side), "-H", str(args.side)]
    theirs = paint_in_diffusers(args.folder, args.variant, args.teacher, args.taesd, call)
    arguments += ["--taesd", args.taesd] if args.taesd else []
    arguments += ["--prediction", "epsilon", "--tokenizer", args.folder / "tokenizer"] if args.file else []
    ours = paint_in_onestep(args.program, args.file or args.folder, arguments)
    if theirs.shape != ours.shape:
        sys.exit(f"sizes differ: diffusers {theirs.shape}, onestep {ours.shape}")
    difference = numpy.abs(theirs.astype(int) - ours.astype(int))
    print(f"{args.folder}: {ours.shape[1]}x{ours.shape[0]}, spread {ours.std():.1f}, largest difference "
          f"{difference.max()}, mean {difference.mean():.4f}")
    if difference.max() > 2:
        sys.exit("the pictures differ")


if __name__ == "__main__":
    main()
