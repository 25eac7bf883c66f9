"""The training step of a recipe's teacher in PyTorch, on the same networks: diffusers' UNet2DConditionModel, transformers' CLIPTextModel.

Per step, as bench_train does it: noising, both networks forward and backward, gradient norm clipped, AdamW, average of the weights. What
PyTorch offers to make that fast is used: fused AdamW, foreach clipping and averages, set_to_none. Prints one JSON object per variant.
"""
import argparse
import json
import os
import statistics
import sys
import time
import warnings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
VARIANTS = ["eager", "channels_last", "bf16", "compile", "compile_channels_last", "compile_bf16"]
parser.add_argument("recipe")
parser.add_argument("--variant", choices=VARIANTS, default="eager")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warmup", type=int, default=1)
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
parser.add_argument("--seconds", type=float, default=1e9, help="stop measuring after so long; one step is always taken")
parser.add_argument("--profile", action="store_true", help="PyTorch's own profile of one step on stderr")
args = parser.parse_args()

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402  (after the number of threads)
from diffusers import UNet2DConditionModel  # noqa: E402
from transformers import CLIPTextConfig, CLIPTextModel  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(1)

with open(args.recipe, encoding="utf-8") as f:
    recipe = json.load(f)
train = recipe["train"]
batch = train["batch_size"]
vae = recipe["vae"]["config"]
side = recipe["resolution"] // 2 ** (len(vae["block_out_channels"]) - 1)
layout = torch.channels_last if args.variant in ("channels_last", "bf16", "compile_channels_last", "compile_bf16") else torch.contiguous_format

unet = UNet2DConditionModel.from_config({**recipe["unet"]["config"], "sample_size": side}).to(memory_format=layout).train()
text_config = CLIPTextConfig(**{"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, **recipe["text_encoder"]["config"]})
text = CLIPTextModel(text_config).train()

parameters = [p for m in (unet, text) for p in m.parameters() if p.requires_grad]
average = [p.detach().clone() for p in parameters]
decayed = [p for p in parameters if p.ndim > 1]
plain = [p for p in parameters if p.ndim <= 1]
optimizer = torch.optim.AdamW(
    [{"params": decayed, "weight_decay": train["weight_decay"]}, {"params": plain, "weight_decay": 0.0}],
    lr=train["lr"], betas=(0.9, 0.99), eps=1e-8, fused=True)

# The schedule of Stable Diffusion (scaled linear), and the loss weight min(SNR, gamma) / SNR; recipes' low_snr_boost, which costs no time, is left out.
alphas = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)
signal, noise_level = alphas.sqrt(), (1 - alphas).sqrt()
snr = alphas / (1 - alphas)
weights = torch.clamp(snr, max=train["min_snr"]) / snr if train.get("min_snr", 5) else torch.ones_like(snr)
channels = recipe["unet"]["config"]["in_channels"]
mean = torch.randn(batch, channels, side, side).to(memory_format=layout)
deviation = torch.rand(batch, channels, side, side).to(memory_format=layout)


def loss_of(xt, eps, t, weight, ids):
    context = text(input_ids=ids).last_hidden_state
    predicted = unet(xt, t, encoder_hidden_states=context, return_dict=False)[0]
    return ((predicted.float() - eps) ** 2 * weight[:, None, None, None]).mean()


run = torch.compile(loss_of) if args.variant.startswith("compile") else loss_of


def step():
    t = ((torch.arange(batch) + torch.rand(batch)) / batch * 1000).long().clamp(max=999)
    eps = torch.randn(batch, channels, side, side).to(memory_format=layout)
    x0 = mean + deviation * torch.randn(batch, channels, side, side).to(memory_format=layout)
    xt = signal[t, None, None, None] * x0 + noise_level[t, None, None, None] * eps
    ids = torch.randint(0, text_config.vocab_size, (batch, text_config.max_position_embeddings))
    with torch.autocast("cpu", torch.bfloat16, enabled=args.variant.endswith("bf16")):
        loss = run(xt, eps, t, weights[t], ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, train["clip"], foreach=True)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch._foreach_lerp_(average, parameters, 1 - train["ema"])
    return loss.item()


start = time.perf_counter()
for _ in range(args.warmup):
    step()
warmup = time.perf_counter() - start

seconds = []
begin = time.perf_counter()
while len(seconds) < args.steps and (not seconds or time.perf_counter() - begin < args.seconds):
    start = time.perf_counter()
    loss = step()
    seconds.append(time.perf_counter() - start)

if args.profile:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=25), file=sys.stderr)

ms = statistics.median(seconds) * 1e3
print(json.dumps({
    "program": f"torch {torch.__version__.split('+')[0]} {args.variant}", "variant": args.variant, "recipe": recipe["name"],
    "batch": batch, "threads": args.threads,
    "parameters": sum(p.numel() for p in parameters), "steps": len(seconds), "ms_per_step": ms, "ms_least": min(seconds) * 1e3,
    "ms_most": max(seconds) * 1e3, "pictures_per_s": batch / ms * 1e3, "warmup_s": warmup, "loss": loss}))
