"""Prints what compare_generate.sh measured: medians of the rounds per program and stage, and onestep's ratio to each peer."""
import glob
import json
import os
import statistics
import sys

folder = sys.argv[1]
STAGES = ("text_ms", "unet_ms", "decoder_ms", "picture_ms")
KEYS = {"text": "text_ms", "unet": "unet_ms", "decoder": "decoder_ms"}


def flat(r):
    """onestep's JSON in the peers' form."""
    if "stages" not in r:
        return r
    stages = {KEYS[k]: s for k, s in r["stages"].items() if k in KEYS}
    out = {k: s["ms"]["median"] for k, s in stages.items()}
    out["picture_ms"] = r["total_ms"]["median"] - r["stages"]["encode"]["ms"]["median"]  # the peers stop at pixels
    out |= {"peak_rss": r["peak_rss_mb"] * 1e6, "ready_s": r["open_ms"] / 1e3, "first_s": r["first_ms"] / 1e3}
    if "roofline_tflops" in r:
        tflop = {k: s["tflop"] for k, s in stages.items()}
        out["share"] = {k: t / (out[k] / 1e3) / r["roofline_tflops"] for k, t in (tflop | {"picture_ms": sum(tflop.values())}).items()}
    return out


programs = {}
for path in sorted(glob.glob(os.path.join(folder, "*.[0-9]*"))):
    with open(path, encoding="utf-8") as f:
        programs.setdefault(os.path.basename(path).rsplit(".", 1)[0], []).append(flat(json.load(f)))
ours = programs.pop("onestep")
print("| | text encoder | UNet | decoder | picture | ready | first picture | peak memory |\n|---|---|---|---|---|---|---|---|")
medians = {}
for name, rounds in {"onestep": ours, **programs}.items():
    medians[name] = {s: statistics.median(r[s] for r in rounds) for s in STAGES}
    cells = [f"{medians[name][s]:.0f} ms" for s in STAGES]
    cells += [f"{statistics.median(r[k] for r in rounds):.1f} s" for k in ("ready_s", "first_s")]
    print(f"| {name} | " + " | ".join(cells) + f" | {max(r['peak_rss'] for r in rounds) / 1e9:.2f} GB |")
for name in programs:
    print(f"| onestep against {name}, times as fast | " + " | ".join(f"{medians[name][s] / medians['onestep'][s]:.2f}" for s in STAGES) + " | | | |")
if "share" in ours[0]:
    shares = [f"{100 * ours[0]['share'][s]:.0f} %" for s in STAGES]
    print("| onestep, share of the roofline | " + " | ".join(shares) + " | | | |")
