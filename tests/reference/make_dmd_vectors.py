#!/usr/bin/env python3
"""Writes tests/distill/vectors/: one step of DMD on tiny networks, as PyTorch computes it.

Needs torch, diffusers and transformers. The losses are written as Yin et al. (CVPR 2024) have them, and autograd
differentiates: matching as half the squared distance to stopgrad(x - g), the regression on a batch of its own, the
fake score's denoising loss. dmd_NAME.safetensors holds the weights of the generator, both scores, text encoder and
autoencoder ("w.NET.", rounded to half precision), inputs ("in."), outputs ("out.") and gradients ("g.gen.",
"g.fake."). Activations are NHWC, weights and their gradients in file order, everything is computed in double.

    python tests/reference/make_dmd_vectors.py [--out tests/distill/vectors]
"""
import argparse
import json
import pathlib

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

from make_vectors import config_of, nhwc, randomise

TOKENS, START, END = 6, 512, 513  # of a vocabulary without merges: 512 bytes, start, end
UNET = dict(block_out_channels=[8, 8], norm_num_groups=4, cross_attention_dim=12, layers_per_block=1,
            attention_head_dim=2, sample_size=4, down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
            up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"])
VAE = dict(block_out_channels=[4, 4], layers_per_block=1, norm_num_groups=2, latent_channels=4, scaling_factor=0.5,
           down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, sample_size=8)
N_MATCH, N_PAIRS = 3, 2

# name -> prediction type, weights of the terms (0 pixels: the latent distance at full weight), largest weight by noise
CASES = {
    "dmd_epsilon": dict(prediction="epsilon", matching=0.7, regression=0.25, latent=1.0, pixel=0.0, boost=3.0, first=999),
    "dmd_v": dict(prediction="v", matching=1.3, regression=0.5, latent=0.4, pixel=0.8, boost=1.5, first=979),
}


def alphas_and_sigmas(t):
    """Stable Diffusion's forward process: x_t = a x0 + s e."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = torch.cumprod(1 - betas, 0)[t.long()].reshape(-1, 1, 1, 1)
    return abar.sqrt(), (1 - abar).sqrt()


def denoised(prediction, xt, output, a, s):
    return (xt - s * output) / a if prediction == "epsilon" else a * xt - s * output


def make_networks(out):
    torch.manual_seed(0)
    nets = {name: randomise(UNet2DConditionModel(**UNET), 20 + i) for i, name in enumerate(["gen", "real", "fake"])}
    # the fake score is near the teacher, as it is in training
    with torch.no_grad():
        for fake, real in zip(nets["fake"].parameters(), nets["real"].parameters()):
            fake.copy_((real + 0.2 * fake).half().double())
    nets["vae"] = randomise(AutoencoderKL(**VAE), 23)
    text = CLIPTextConfig(vocab_size=514, hidden_size=12, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                          max_position_embeddings=TOKENS, hidden_act="quick_gelu", bos_token_id=START, eos_token_id=END,
                          pad_token_id=END)
    nets["clip"] = randomise(CLIPTextModel(text), 24)
    for name in ("unet", "vae", "clip"):
        config = json.loads(text.to_json_string()) if name == "clip" else config_of(nets["gen" if name == "unet" else name])
        config = {k: v for k, v in config.items() if not k.startswith("_name")}
        (out / f"{name}.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    return nets


def weights_of(nets):
    tensors = {}
    for net, model in nets.items():
        for k, v in model.state_dict().items():
            if v.is_floating_point():
                k = "text_model." + k.removeprefix("text_model.") if net == "clip" else k
                tensors[f"w.{net}.{k}"] = v.half().contiguous()
    return tensors


def draw_inputs(seed):
    g = torch.Generator().manual_seed(seed)
    n, side, channels = N_MATCH + N_PAIRS, UNET["sample_size"], 4

    def normal(*shape):
        return torch.randn(*shape, generator=g).float().double()

    ids = torch.randint(0, 512, (n, TOKENS), generator=g)
    ids[:, 0], ids[:, 4:] = START, END
    return dict(z=normal(n, channels, side, side), ids=ids, target=normal(N_PAIRS, channels, side, side),
                target_pixels=normal(N_PAIRS, 3, 2 * side, 2 * side).clamp(-1, 1),
                guidance=torch.tensor([1.0, 3.5, 7.0], dtype=torch.float64),
                match_t=torch.tensor([20.0, 480.0, 980.0], dtype=torch.float64),
                match_e=normal(N_MATCH, channels, side, side), e=normal(n, channels, side, side),
                t=torch.tensor([0.0, 250.0, 500.0, 750.0, 999.0], dtype=torch.float64))


def direction(case, nets, x, context, empty, i):
    """g of the paper's Algorithm 2, and the two scores' means."""
    a, s = alphas_and_sigmas(i["match_t"])
    xt = a * x + s * i["match_e"]
    fake = denoised(case["prediction"], xt, nets["fake"](xt, i["match_t"], context).sample, a, s)
    plain = nets["real"](xt, i["match_t"], empty.expand(len(x), -1, -1)).sample
    told = nets["real"](xt, i["match_t"], context).sample
    real = denoised(case["prediction"], xt, plain + i["guidance"].reshape(-1, 1, 1, 1) * (told - plain), a, s)
    return (fake - real) / (x - real).abs().mean((1, 2, 3), keepdim=True), real, fake


def generator_step(case, nets, i, context, empty):
    first = torch.full((len(i["z"]),), float(case["first"]), dtype=torch.float64)
    a, s = alphas_and_sigmas(first)
    x = denoised(case["prediction"], i["z"], nets["gen"](i["z"], first, context).sample, a, s)
    fresh, pairs = x[:N_MATCH], x[N_MATCH:]
    with torch.no_grad():
        g, real, fake = direction(case, nets, fresh, context[:N_MATCH], empty, i)
    matching = 0.5 * ((fresh - (fresh - g).detach()) ** 2).mean()
    regression = case["latent"] * ((pairs - i["target"]) ** 2).mean()
    if case["pixel"]:
        pixels = nets["vae"].decode(pairs / VAE["scaling_factor"]).sample
        regression = regression + case["pixel"] * (pixels - i["target_pixels"]).abs().mean()
    (case["matching"] * matching + case["regression"] * regression).backward()
    means = {"direction2": g, "real2": fresh - real, "fake2": fresh - fake}
    return x.detach(), {"out.x": nhwc(x), "out.regression": regression.detach().float().reshape(1)} | {
        "out." + k: (v.detach() ** 2).mean().float().reshape(1) for k, v in means.items()}


def critic_step(case, nets, i, x, context):
    a, s = alphas_and_sigmas(i["t"])
    output = nets["fake"](a * x + s * i["e"], i["t"], context).sample
    target = i["e"] if case["prediction"] == "epsilon" else a * i["e"] - s * x
    loss = ((output - target) ** 2 * (s / a).clamp(1, case["boost"])).mean()
    loss.backward()
    return {"out.loss": loss.detach().float().reshape(1)}


def write_case(out, name, case, nets, seed):
    i = draw_inputs(seed)
    empty_ids = torch.full((1, TOKENS), END)
    empty_ids[0, 0] = START
    with torch.no_grad():
        context = nets["clip"](input_ids=i["ids"]).last_hidden_state
        empty = nets["clip"](input_ids=empty_ids).last_hidden_state
    for net in nets.values():
        net.zero_grad()
    x, tensors = generator_step(case, nets, i, context, empty)
    tensors |= {"g.gen." + k: p.grad.float().contiguous() for k, p in nets["gen"].named_parameters()}
    nets["fake"].zero_grad()
    tensors |= critic_step(case, nets, i, x.float().double(), context)
    tensors |= {"g.fake." + k: p.grad.float().contiguous() for k, p in nets["fake"].named_parameters()}
    tensors |= {"in.x": nhwc(x), "in.empty": empty_ids.int()}
    for k, v in i.items():
        tensors["in." + k] = v.int() if k == "ids" else nhwc(v) if v.dim() == 4 else v.float()
    save_file(tensors | weights_of(nets), out / f"{name}.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parents[1] / "distill" / "vectors")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    nets = make_networks(out)
    for seed, (name, case) in enumerate(CASES.items()):
        write_case(out, name, case, nets, 30 + seed)


if __name__ == "__main__":
    main()
