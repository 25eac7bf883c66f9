#!/bin/sh
# One picture of a pipeline folder by onestep, PyTorch and OpenVINO, stage by stage, interleaved: ROUNDS times each program in turn.
#
# Usage: bench/compare_generate.sh MODEL   with, from the environment:
#   PYTHON=python3   BUILD=build   ROUNDS=2   RUNS=3   STEPS=1   SIZE=512   TYPE=bf16   PEERS="openvino eager compile"   LIMIT=600 (seconds per run)
#   TAESD=DIR to decode with that tiny autoencoder
# PYTHON needs torch, diffusers, transformers and, for that peer, openvino; see bench/peers/README.md.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
model=${1:?usage: $0 MODEL}
python=${PYTHON:-python3} build=${BUILD:-$here/../build} rounds=${ROUNDS:-2} runs=${RUNS:-3} steps=${STEPS:-1} size=${SIZE:-512} type=${TYPE:-bf16}
tiny=${TAESD:+--taesd $TAESD}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT INT TERM

round=0
while [ "$round" -lt "$rounds" ]; do
    "$build/onestep" bench -m "$model" --steps "$steps" --cfg-scale 1 -W "$size" -H "$size" --type "$type" --runs "$runs" $tiny \
        $([ "$round" -eq 0 ] && echo --roofline) --json -q >"$results/onestep.$round"
    for peer in ${PEERS:-openvino eager compile}; do
        timeout "${LIMIT:-600}" "$python" "$here/peers/generate.py" "$model" --peer "$peer" --type "$type" --steps "$steps" --size "$size" --runs "$runs" $tiny \
            >"$results/$peer.$round" 2>"$results/errors" || {
            rm -f "$results/$peer.$round"
            echo "$peer: left out, it failed or took longer than ${LIMIT:-600} s: $(tail -n 1 "$results/errors")" >&2
        }
    done
    round=$((round + 1))
done
"$python" "$here/peers/generate_table.py" "$results"
