#!/usr/bin/env python3
"""Opens a pipeline folder in diffusers and in onestep, makes the same picture with both and prints the largest pixel difference.

A model that onestep wrote shows the way out, one that diffusers wrote (save_pretrained) the way in. Development only: needs torch,
diffusers, transformers. Usage: compare_with_diffusers.py ONESTEP MODEL [PROMPT ...]
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image


def settings(model):
    path = pathlib.Path(model) / "onestep.json"
    card = json.loads(path.read_text()) if path.exists() else {}
    return card.get("steps", 20), card.get("guidance", 7.5), card.get("timestep", -1)


def by_diffusers(pipe, prompt, seed, steps, guidance, timestep):
    call = dict(timesteps=[timestep]) if timestep is not None and timestep >= 0 else dict(num_inference_steps=steps)
    generator = torch.Generator("cpu").manual_seed(seed)
    return numpy.asarray(pipe(prompt, guidance_scale=guidance, generator=generator, **call).images[0]).astype(int)


def by_onestep(program, model, prompt, seed, extra):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "picture.png"
        subprocess.run([program, "generate", "-m", model, "-p", prompt, "-s", str(seed), "--rng", "torch", "--type",
                        "f32", "-o", str(out), "-q", *extra], check=True)
        return numpy.asarray(Image.open(out)).astype(int)


def main():
    program, model, *prompts = sys.argv[1:]
    steps, guidance, timestep = settings(model)
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    worst = 0
    for prompt in prompts or ["red heart", "a cat"]:
        for seed in (0, 42):
            ours = by_onestep(program, model, prompt, seed, [])
            theirs = by_diffusers(pipe, prompt, seed, steps, guidance, timestep)
            difference = int(abs(ours - theirs).max())
            worst = max(worst, difference)
            print(f"{prompt!r} seed {seed}: largest difference {difference} of 255")
    sys.exit(worst > 2)


main()
