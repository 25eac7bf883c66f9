#!/bin/sh
# Models of Stable Diffusion's full size with random weights, drawn by onestep and by diffusers: a 1.5 and a 2.1, several steps with guidance in f32,
# one step in bf16 (whose error is compared with that of diffusers' bf16), and the tiny autoencoder. About 10 GB of memory and of disk.
# $PYTHON (python3) needs torch, diffusers and transformers. Where they are not, it says so and succeeds.
# Usage: PYTHON=VENV/bin/python scripts/full_size.sh [BUILD]     SIDE=256 and STEPS=4 from the environment
set -eu

reference=$(cd "$(dirname "$0")/../tests/reference" && pwd)
build=$(cd "${1:-build}" && pwd)
python=${PYTHON:-python3} side=${SIDE:-256} steps=${STEPS:-4}

"$python" -c 'import torch, diffusers, transformers' 2>/dev/null || {
    echo "skipped: models of full size against diffusers: $python lacks torch, diffusers or transformers (PYTHON=VENV/bin/python names another)"
    exit 0
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

for kind in sd15 sd21; do
    "$build/tools/random_model" "$kind" "$work/$kind" f16
    "$python" "$reference/check_folder.py" "$build/onestep" "$work/$kind" --side "$side" --steps "$steps"
    "$python" "$reference/check_precision.py" "$build/onestep" "$work/$kind" --side "$side"
done
"$build/tools/random_model" taesd "$work/taesd" f16
"$python" "$reference/check_folder.py" "$build/onestep" "$work/sd15" --side "$side" --steps "$steps" --taesd "$work/taesd"
