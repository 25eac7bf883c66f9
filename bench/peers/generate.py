"""One picture of a pipeline folder in PyTorch or OpenVINO, by stages, as `onestep bench` measures them: text encoder, UNet, decoder.

Every run has other tokens and other noise. The networks are diffusers' and transformers' own, in bf16 where asked (OpenVINO: its inference precision; the weights
it converts are f32). int8, for OpenVINO: UNet and decoder quantised by NNCF on two random inputs, without its bias correction, which time does not depend on;
what it leaves alone runs in bf16. Samplers cost nothing beside the networks, so a step is the network's evaluation alone. Prints one JSON object.
"""
import argparse
import json
import os
import resource
import statistics
import time
import warnings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", help="pipeline folder in the diffusers layout")
parser.add_argument("--peer", choices=["eager", "compile", "openvino"], default="eager")
parser.add_argument("--type", choices=["f32", "bf16", "int8"], default="bf16")
parser.add_argument("--steps", type=int, default=1)
parser.add_argument("--taesd", help="decode with this AutoencoderTiny folder")
parser.add_argument("--guided", action="store_true", help="two evaluations a step")
parser.add_argument("--size", type=int, default=512)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
args = parser.parse_args()
if args.type == "int8" and args.peer != "openvino":
    parser.error("int8 is for the peer openvino alone")

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(args.threads)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402  (after the number of threads)
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel  # noqa: E402
from transformers import CLIPTextModel  # noqa: E402

torch.set_num_threads(args.threads)
torch.manual_seed(1)
began = time.perf_counter()
dtype = torch.bfloat16 if args.type == "bf16" and args.peer != "openvino" else torch.float32
load = {"torch_dtype": dtype, "local_files_only": True}
text = CLIPTextModel.from_pretrained(args.model, subfolder="text_encoder", **load).eval()
unet = UNet2DConditionModel.from_pretrained(args.model, subfolder="unet", **load).eval()
vae = AutoencoderTiny.from_pretrained(args.taesd, **load).eval() if args.taesd else AutoencoderKL.from_pretrained(args.model, subfolder="vae", **load).eval()
for network in (text, unet, vae):
    network.requires_grad_(False)
batch = 2 if args.guided else 1
length, vocabulary, hidden = text.config.max_position_embeddings, text.config.vocab_size, text.config.hidden_size
side = args.size // 2 ** (len(vae.config.block_out_channels) - 1)
channels = vae.config.latent_channels


class Text(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = text

    def forward(self, ids):
        return self.network(input_ids=ids)[0]


class Denoiser(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = unet

    def forward(self, x, t, context):
        return self.network(x, t, context, return_dict=False)[0]


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = vae

    def forward(self, z):
        return self.network.decode(z / vae.config.scaling_factor, return_dict=False)[0]


def torch_stages():
    modules = [Text(), Denoiser(), Decoder()]
    unet.to(memory_format=torch.channels_last)
    vae.to(memory_format=torch.channels_last)
    if args.peer == "compile":
        modules = [torch.compile(m) for m in modules]
    return modules


def quantised(model, inputs, is_transformer):
    import nncf

    settings = nncf.AdvancedQuantizationParameters(disable_bias_correction=True)
    samples = [[torch.randn(x.shape).numpy() if x.dim() > 1 else x.numpy() for x in inputs] for _ in range(2)]
    return nncf.quantize(model, nncf.Dataset(samples), subset_size=2, advanced_parameters=settings,
                         model_type=nncf.ModelType.TRANSFORMER if is_transformer else None)


def openvino_stages():
    import openvino as ov

    core = ov.Core()
    config = {"INFERENCE_PRECISION_HINT": "bf16" if args.type == "int8" else args.type, "INFERENCE_NUM_THREADS": args.threads, "PERFORMANCE_HINT": "LATENCY"}
    examples = [(torch.zeros(1, length, dtype=torch.int64),),
                (torch.zeros(batch, channels, side, side), torch.tensor(500.0), torch.zeros(batch, length, hidden)),
                (torch.zeros(1, channels, side, side),)]
    stages = []
    for module, example in zip([Text(), Denoiser(), Decoder()], examples):
        with torch.no_grad():
            model = ov.convert_model(module.eval(), example_input=example, input=[list(x.shape) for x in example])
        if args.type == "int8" and stages:
            model = quantised(model, example, is_transformer=len(stages) == 1)
        stages.append(core.compile_model(model, "CPU", config))

    def call(compiled):
        return lambda *values: torch.from_numpy(compiled([v.numpy() for v in values])[0])

    return [call(s) for s in stages]


stages = openvino_stages() if args.peer == "openvino" else torch_stages()
ready = time.perf_counter() - began


@torch.no_grad()
def run():
    """Seconds of text encoder, UNet, decoder."""
    marks = [time.perf_counter()]
    ids = torch.randint(0, vocabulary, (1, length))
    context = stages[0](ids).expand(batch, -1, -1).contiguous()
    marks.append(time.perf_counter())
    x = torch.randn(1, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last if args.peer != "openvino" else torch.contiguous_format)
    for _ in range(args.steps):
        eps = stages[1](x.expand(batch, -1, -1, -1).contiguous(), torch.tensor(999.0), context)
        x = x - 0.1 * eps[:1].to(x.dtype)
    marks.append(time.perf_counter())
    stages[2](x.contiguous())
    marks.append(time.perf_counter())
    return [b - a for a, b in zip(marks, marks[1:])]


first = sum(run())
rows = [run() for _ in range(args.runs)]
medians = [statistics.median(column) for column in zip(*rows)]
totals = [sum(row) for row in rows]
print(json.dumps({
    "program": args.peer, "type": args.type, "threads": args.threads, "size": args.size, "steps": args.steps, "runs": args.runs,
    "ready_s": ready, "first_s": first, "text_ms": medians[0] * 1e3, "unet_ms": medians[1] * 1e3, "decoder_ms": medians[2] * 1e3,
    "picture_ms": statistics.median(totals) * 1e3, "ms_least": min(totals) * 1e3, "ms_most": max(totals) * 1e3,
    "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
