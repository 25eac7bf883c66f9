#!/usr/bin/env python3
"""The error of bf16 against f32 in onestep and in diffusers, on the same folder, prompt and noise.

    python tests/reference/check_precision.py ONESTEP FOLDER [--side PIXELS] [--steps N] [--sampler lcm|ddim] [--seeds N] [--type bf16] [--bound 1.25]

One step of the lcm sampler at timestep 999 by default, where an error of the network counts most: the conversion to x0 multiplies it by 14.6.
Each program is compared with itself: pictures in bf16 with those in f32, mean of the absolute differences in steps of 255. Fails when onestep's
exceeds BOUND times diffusers'.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionPipeline
from PIL import Image

PROMPT = "the cat"


def paint_in_diffusers(args, dtype):
    pipe = StableDiffusionPipeline.from_pretrained(args.folder, torch_dtype=dtype)
    scheduler = {"lcm": LCMScheduler, "ddim": DDIMScheduler}[args.sampler]
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, clip_sample=False)
    pipe.set_progress_bar_config(disable=True)
    pictures = []
    for seed in range(args.seeds):
        shape = (1, pipe.unet.config.in_channels, args.side // pipe.vae_scale_factor, args.side // pipe.vae_scale_factor)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
        pictures.append(pipe(PROMPT, num_inference_steps=args.steps, guidance_scale=1.0, latents=noise, width=args.side,
                             height=args.side, output_type="np").images[0])
    return numpy.stack(pictures) * 255


def paint_in_onestep(args, kind):
    pictures = []
    with tempfile.TemporaryDirectory() as out:
        for seed in range(args.seeds):
            path = pathlib.Path(out) / "picture.png"
            subprocess.run([args.program, "generate", "-m", args.folder, "-p", PROMPT, "-o", path, "--seed", str(seed), "--type", kind, "--rng", "torch",
                            "--steps", str(args.steps), "--cfg-scale", "1", "--sampler", args.sampler, "-W", str(args.side), "-H", str(args.side), "-q"],
                           check=True)
            pictures.append(numpy.asarray(Image.open(path).convert("RGB")))
    return numpy.stack(pictures).astype(float)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--sampler", choices=["lcm", "ddim"], default="lcm")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--type", default="bf16", help="onestep's, against diffusers' bf16")
    parser.add_argument("--bound", type=float, default=1.25)
    args = parser.parse_args()
    theirs = numpy.rint(paint_in_diffusers(args, torch.float32))
    ours = paint_in_onestep(args, "f32")
    between = numpy.abs(theirs - ours).mean()
    their_error = numpy.abs(numpy.rint(paint_in_diffusers(args, torch.bfloat16)) - theirs).mean()
    our_error = numpy.abs(paint_in_onestep(args, args.type) - ours).mean()
    print(f"{args.folder}: {args.side}x{args.side}, {args.steps} of {args.sampler}, {args.seeds} seeds; spread {ours.std():.1f}; f32 of both {between:.4f} "
          f"apart; error of bf16 in diffusers {their_error:.4f}, of {args.type} in onestep {our_error:.4f}: {our_error / their_error:.2f} times")
    if between > 0.6:
        sys.exit("the pictures differ in f32 already")
    if our_error > args.bound * their_error:
        sys.exit(f"more than {args.bound} times")


if __name__ == "__main__":
    main()
