#!/usr/bin/env python3
"""The controls of a distillation: what the figures of a DMD student mean.

Distils one teacher in three ways (the whole method, pair regression alone, distribution matching alone) from several
seeds each, with the same number of steps and of generated latents per step, and measures all students and the teacher at 50, 4 and 1 steps by `onestep
eval`. What is there already is not made again, so that an interrupted run goes on. Prints a table in Markdown: means
over the seeds, the spread (highest minus lowest) behind them, and ratios to the teacher.

  scripts/controls.py --teacher T --data D --pairs P --recipe R -o OUT [--seeds 3] [--n 128] [--features F] [--also LABEL=MODEL]
"""
import argparse
import json
import os
import subprocess
import sys

METHODS = {
    "DMD": {},
    "regression alone": {"distill.weight_dm": "0"},
    "matching alone": {"distill.weight_reg": "0"},
}
TEACHER_STEPS = (50, 4, 1)
SECTIONS = ("train", "heldout", "ambiguous")
FIGURES = ("exact", "top1", "frechet", "patch_frechet", "diversity", "precision", "recall")


def run(command, stdout=None):
    print("+", " ".join(command), file=sys.stderr, flush=True)
    return subprocess.run(command, stdout=stdout, check=True)


def settings_of(a, name):
    """The one term that is left gets the other's share of the batch."""
    with open(a.recipe, encoding="utf-8") as f:
        d = json.load(f)["distill"]
    both = str(d.get("batch_size", 32) + d.get("pair_batch_size", 32))
    share = {"regression alone": "distill.pair_batch_size", "matching alone": "distill.batch_size"}.get(name)
    return METHODS[name] | ({share: both} if share else {})


def distil(a, name, settings, seed):
    folder = os.path.join(a.output, f"{name.replace(' ', '-')}-{seed}")
    if not os.path.exists(os.path.join(folder, "model_index.json")):
        command = [a.program, "distill", "--recipe", a.recipe, "-m", a.teacher, "--data", a.data, "--pairs", a.pairs,
                   "--perceptual", a.perceptual or os.path.join(a.output, "perceptual"), "-o", folder, "--seed", str(seed), "--resume"]
        changes = dict(s.split("=", 1) for s in a.set) | settings
        if changes:
            command += ["--set", ",".join(f"{k}={v}" for k, v in changes.items())]
        run(command)
    return folder


def evaluate(a, model, label, extra=()):
    path = os.path.join(a.output, f"eval-{label.replace(' ', '-')}.json")
    if not os.path.exists(path):
        command = [a.program, "eval", "-m", model, "--data", a.data, "--n", str(a.n), "--seeds", str(a.eval_seeds),
                   "--json", *extra]
        if a.features:
            command += ["--features", a.features]
        with open(path + ".part", "wb") as f:
            run(command, f)
        os.rename(path + ".part", path)
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def figure(results, section, name):
    values = [r[section][name] for r in results if r[section] and r[section].get(name) is not None]
    return values or None


def cell(results, teacher, section, name):
    values = figure(results, section, name)
    if not values:
        return "-"
    mean = sum(values) / len(values)
    text = f"{mean:.3g}"
    if len(values) > 1:
        text += f" ±{(max(values) - min(values)) / 2:.2g}"
    base = figure([teacher], section, name)
    if base and base[0] and results != [teacher]:
        text += f" ({mean / base[0]:.2f})"
    return text


def print_table(rows, teacher):
    for section in SECTIONS:
        print(f"\n| {section} | " + " | ".join(FIGURES) + " |\n|" + "---|" * (len(FIGURES) + 1))
        for label, results in rows:
            print(f"| {label} | " + " | ".join(cell(results, teacher, section, f) for f in FIGURES) + " |")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("--teacher", "--data", "--pairs", "--recipe"):
        p.add_argument(flag, required=True)
    p.add_argument("-o", "--output", required=True)
    p.add_argument("--program", default="build/onestep")
    p.add_argument("--perceptual", help="perceptual network of distill; by default OUT/perceptual, trained the first time")
    p.add_argument("--features", help="feature network of eval")
    p.add_argument("--methods", default=",".join(METHODS), help="which, separated by commas")
    p.add_argument("--also", action="append", default=[], help="another model to measure, LABEL=FOLDER")
    p.add_argument("--set", action="append", default=[], help="recipe override for every student, KEY=VALUE")
    p.add_argument("--seeds", type=int, default=3, help="students per method")
    p.add_argument("--eval-seeds", type=int, default=3)
    p.add_argument("--n", type=int, default=128, help="captions per section of an evaluation")
    a = p.parse_args()
    os.makedirs(a.output, exist_ok=True)
    rows = [(f"teacher, {s} steps" if s > 1 else "teacher, 1 step",
             [evaluate(a, a.teacher, f"teacher {s}", ("--steps", str(s)))]) for s in TEACHER_STEPS]
    for label, model in (s.split("=", 1) for s in a.also):
        rows.append((label, [evaluate(a, model, label)]))
    for name in filter(None, a.methods.split(",")):
        rows.append((f"{name}, 1 step",
                     [evaluate(a, distil(a, name, settings_of(a, name), seed), f"{name} {seed}")
                      for seed in range(1, a.seeds + 1)]))
    print_table(rows, rows[0][1][0])


if __name__ == "__main__":
    main()
