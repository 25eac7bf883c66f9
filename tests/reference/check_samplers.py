#!/usr/bin/env python3
"""Draws with every sampler in diffusers and in onestep from the same torch seed, from noise and from a picture, and compares.

    python tests/reference/check_samplers.py ONESTEP FOLDER [--side PIXELS] [--steps N,N,...] [--cfg-scale X] [--prompt TEXT]

FOLDER is any pipeline of Stable Diffusion's kind. Prints the mean and the largest difference of the 8-bit values; fails where a mean is
above 0.6.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import (DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
                       HeunDiscreteScheduler, LCMScheduler, PNDMScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline)
from PIL import Image

SEED, STRENGTH, LIMIT = 11, 0.6, 0.6
SCHEDULERS = {"ddim": (DDIMScheduler, {"clip_sample": False}), "plms": (PNDMScheduler, {"skip_prk_steps": True}),
              "euler": (EulerDiscreteScheduler, {}), "euler_a": (EulerAncestralDiscreteScheduler, {}),
              "heun": (HeunDiscreteScheduler, {}), "dpm++2m": (DPMSolverMultistepScheduler, {}),
              "lcm": (LCMScheduler, {"clip_sample": False})}


def scheduler_of(sampler, config):
    cls, extra = SCHEDULERS[sampler]
    return cls.from_config(config, **extra)


def smooth_picture(side):
    y, x = numpy.mgrid[0:side, 0:side] / side
    return Image.fromarray((255 * numpy.stack([x, y, 0.5 + 0.5 * numpy.sin(9 * x * y)], -1)).astype(numpy.uint8))


def draw_theirs(pipe, image, args, steps):
    generator = torch.Generator().manual_seed(SEED)
    call = dict(num_inference_steps=steps, guidance_scale=args.cfg_scale, generator=generator)
    if image is None:
        return pipe(args.prompt, width=args.side, height=args.side, **call).images[0]
    both = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    both.set_progress_bar_config(disable=True)
    return both(args.prompt, image=image, strength=STRENGTH, **call).images[0]


def draw_ours(args, sampler, steps, image_path):
    with tempfile.TemporaryDirectory() as out:
        path = pathlib.Path(out) / "picture.png"
        extra = ["-i", image_path, "--strength", str(STRENGTH)] if image_path else []
        subprocess.run([args.program, "generate", "-q", "-m", args.folder, "-p", args.prompt, "-o", path, "-s", str(SEED), "--type", "f32",
                        "--rng", "torch", "--steps", str(steps), "--cfg-scale", str(args.cfg_scale), "--sampler", sampler,
                        "-W", str(args.side), "-H", str(args.side), *extra], check=True, stderr=subprocess.DEVNULL)
        return Image.open(path).convert("RGB")


def compare(pipe, config, args, sampler, steps, image, image_path):
    pipe.scheduler = scheduler_of(sampler, config)
    theirs = numpy.asarray(draw_theirs(pipe, image, args, steps)).astype(int)
    ours = numpy.asarray(draw_ours(args, sampler, steps, image_path)).astype(int)
    difference = numpy.abs(theirs - ours)
    print(f"{sampler:8} {steps:3} steps {'from a picture' if image else 'from noise':15} mean {difference.mean():.4f} "
          f"largest {difference.max()}", flush=True)
    return difference.mean() <= LIMIT


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--steps", default="2,4,10")
    parser.add_argument("--cfg-scale", type=float, default=7.5)
    parser.add_argument("--prompt", default="the cat")
    args = parser.parse_args()
    pipe = StableDiffusionPipeline.from_pretrained(args.folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    config, good = pipe.scheduler.config, True
    with tempfile.TemporaryDirectory() as folder:
        image_path = pathlib.Path(folder) / "start.png"
        image = smooth_picture(args.side)
        image.save(image_path)
        for sampler in SCHEDULERS:
            for steps in map(int, args.steps.split(",")):
                good &= compare(pipe, config, args, sampler, steps, None, None)
                good &= compare(pipe, config, args, sampler, steps, image, image_path)
    if not good:
        sys.exit(f"a mean difference is above {LIMIT}")


if __name__ == "__main__":
    main()
