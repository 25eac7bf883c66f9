#!/usr/bin/env python3
"""Writes tests/diffusion/sampler_vectors.json: runs of diffusers' schedulers over an analytic "network".

The network is  out_i = 0.6 x_i + 0.3 cos(0.01 t + i),  the starting noise  z_i = sin(1 + 1.7 i),  and the fresh noise of
step k  e_i = cos(0.37 (i + 16 k)), so that the test needs no weights. Development only: needs torch and diffusers.
Usage: make_sampler_vectors.py [OUTPUT]
"""
import json
import math
import pathlib
import sys

import torch
from diffusers import (DDIMScheduler, DPMSolverMultistepScheduler, EulerAncestralDiscreteScheduler, EulerDiscreteScheduler,
                       HeunDiscreteScheduler, LCMScheduler, PNDMScheduler)
from diffusers.schedulers import scheduling_euler_ancestral_discrete, scheduling_lcm

SIZE = 16
SCHEDULERS = {
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "plms": (PNDMScheduler, {"skip_prk_steps": True}),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_a": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
    "dpm++2m": (DPMSolverMultistepScheduler, {}),
    "lcm": (LCMScheduler, {"clip_sample": False}),
}


def row(f):
    return torch.tensor([f(i) for i in range(SIZE)], dtype=torch.float32)


def network(x, t):
    return 0.6 * x + 0.3 * row(lambda i: math.cos(0.01 * t + i))


def whole(t):
    return int(t) if t == int(t) else t


def run(sampler, steps, prediction="epsilon", spacing="leading", timesteps=None, to_one=False, zero_snr=False, start=0):
    cls, extra = SCHEDULERS[sampler]
    config = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction,
                  timestep_spacing=spacing, steps_offset=1 if spacing == "leading" else 0, **extra)
    if sampler in ("ddim", "lcm", "plms"):
        config["set_alpha_to_one"] = to_one
    if zero_snr:
        config["rescale_betas_zero_snr"] = True
    scheduler = cls(**config)
    if sampler == "ddim" and timesteps:
        raise SystemExit("DDIMScheduler takes no timesteps")
    if timesteps:
        scheduler.set_timesteps(timesteps=timesteps)
    else:
        scheduler.set_timesteps(steps)
    draws = [0]

    def fresh_noise(shape, **_):
        k = draws[0]
        draws[0] += 1
        return row(lambda i: math.cos(0.37 * (i + SIZE * k)))

    scheduling_lcm.randn_tensor = scheduling_euler_ancestral_discrete.randn_tensor = fresh_noise
    noise = row(lambda i: math.sin(1 + 1.7 * i))
    times = scheduler.timesteps[start * scheduler.order:]  # as StableDiffusionImg2ImgPipeline begins
    if start and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start * scheduler.order)
    clean = row(lambda i: 0.8 * math.cos(2 + 0.9 * i))
    x = scheduler.add_noise(clean[None], noise[None], times[:1])[0] if start else noise * scheduler.init_noise_sigma
    for t in times:
        seen = scheduler.scale_model_input(x, t)
        x = scheduler.step(network(seen, float(t)), t, x).prev_sample
    return dict(sampler=sampler, steps=steps, prediction=prediction, spacing=spacing, offset=config["steps_offset"],
                to_one=to_one, zero_snr=zero_snr, custom=bool(timesteps), start=start,
                timesteps=[whole(float(t)) for t in times], result=[float(v) for v in x])


def cases():
    for steps in (1, 4, 7, 50):
        yield run("ddim", steps)
        yield run("ddim", steps, spacing="trailing", to_one=True)
        yield run("dpm++2m", steps)
        yield run("dpm++2m", steps, spacing="trailing")
        yield run("dpm++2m", steps, spacing="linspace")
        yield run("euler", steps)
        yield run("euler", steps, spacing="trailing")
        yield run("lcm", steps)
    for steps in (1, 2, 4, 10):
        for spacing in ("leading", "trailing"):
            yield run("euler_a", steps, spacing=spacing)
            yield run("heun", steps, spacing=spacing)
            yield run("plms", steps, spacing=spacing)
    for sampler in ("euler", "euler_a", "heun"):
        for steps in (2, 7, 10):
            yield run(sampler, steps, spacing="linspace")
        yield run(sampler, 6, spacing="linspace", start=2)
    yield run("plms", 50)
    yield run("plms", 6, spacing="linspace", to_one=True)
    for sampler in SCHEDULERS:
        for start in (1, 3):
            yield run(sampler, 6, start=start)
            if sampler != "lcm":
                yield run(sampler, 6, start=start, spacing="trailing", prediction="v_prediction")
    yield run("ddim", 6, spacing="linspace")
    for sampler in SCHEDULERS:
        yield run(sampler, 5, prediction="v_prediction", spacing="trailing")
        if sampler in ("ddim", "dpm++2m", "lcm", "heun"):
            yield run(sampler, 5, prediction="sample", spacing="trailing")
    yield run("ddim", 6, prediction="v_prediction", spacing="trailing", zero_snr=True)
    yield run("euler", 4, spacing="linspace", timesteps=[999, 666, 333, 0])
    yield run("lcm", 4, timesteps=[999, 749, 499, 249])
    yield run("lcm", 1, timesteps=[399])
    yield run("lcm", 1, prediction="v_prediction", timesteps=[399])
    yield run("lcm", 1, timesteps=[2])


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "diffusion" / "sampler_vectors.json"
    lines = ",\n".join(json.dumps(c) for c in cases())
    pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else default).write_text("[\n" + lines + "\n]\n")


main()
