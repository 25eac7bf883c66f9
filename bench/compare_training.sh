#!/bin/sh
# Training throughput of onestep and of PyTorch on the same networks and cores, interleaved, as one table.
#
# Per recipe: every variant of bench/peers/train_unet.py once, a step or two, to find PyTorch's best (one that fails or takes
# longer than LIMIT is said and left out); then ROUNDS times onestep and PyTorch's best in turn. A figure is the median of its
# rounds, with least and most; the ratio is of the medians. onestep's share of the roofline is measured in its first round.
#
# Usage: bench/compare_training.sh RECIPE...   with, from the environment:
#   PYTHON=python3   BUILD=build   ROUNDS=3   STEPS=5   LIMIT=300 (seconds per run)
#   VARIANTS="eager channels_last bf16 compile compile_channels_last compile_bf16"   CORES= (for taskset, as in 0-3)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} build=${BUILD:-$here/../build} rounds=${ROUNDS:-3} steps=${STEPS:-5} limit=${LIMIT:-300}
variants=${VARIANTS:-eager channels_last bf16 compile compile_channels_last compile_bf16}
pin=${CORES:+taskset -c $CORES}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT INT TERM

[ $# -gt 0 ] || {
    echo "usage: $0 RECIPE..." >&2
    exit 2
}

# peer VARIANT RECIPE STEPS FILE: one JSON line, or on stderr why there is none.
peer() {
    code=0
    timeout "$limit" $pin "$python" "$here/peers/train_unet.py" --variant "$1" --steps "$3" "$2" >>"$4" 2>"$results/errors" || code=$?
    case $code in
    0) ;;
    124) echo "$1: left out, no result within $limit s" >&2 ;;
    *) echo "$1: left out, it failed: $(tail -n 1 "$results/errors")" >&2 ;;
    esac
}

best() {
    "$python" -c 'import json, sys; print(min(map(json.loads, open(sys.argv[1])), key=lambda r: r["ms_per_step"])["variant"])' "$1"
}

for recipe in "$@"; do
    : >"$results/screen"
    : >"$results/rounds"
    for variant in $variants; do
        peer "$variant" "$recipe" 1 "$results/screen"
    done
    variant=$(best "$results/screen")
    round=0
    while [ "$round" -lt "$rounds" ]; do
        [ "$round" -eq 0 ] && roofline= || roofline=--no-roofline
        $pin "$build/bench/bench_train" --json --warmup 1 --steps "$steps" $roofline "$recipe" >>"$results/rounds"
        peer "$variant" "$recipe" "$steps" "$results/rounds"
        round=$((round + 1))
    done
    "$python" "$here/peers/table.py" "$results/screen" "$results/rounds"
done
