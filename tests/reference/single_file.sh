#!/bin/sh
# Checkpoints in one file against diffusers: tiny pipelines like Stable Diffusion 1.x and 2.x are made, drawn from the folder, written as one
# file under the original names (verified by diffusers' own converters), drawn from that, and converted back to a folder.
#     PYTHON=VENV/bin/python tests/reference/single_file.sh [ONESTEP]
set -e
here=$(dirname "$0")
program=${1:-build/onestep}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for kind in sd1 sd2; do
    "$PYTHON" "$here/make_pipeline.py" "$folder/$kind" --like $kind
    "$PYTHON" "$here/make_single_file.py" convert "$folder/$kind" "$folder/$kind.safetensors"
    "$PYTHON" "$here/check_folder.py" "$program" "$folder/$kind" --side 64
    "$PYTHON" "$here/check_folder.py" "$program" "$folder/$kind" --side 72 --file "$folder/$kind.safetensors"
    "$program" convert -q -m "$folder/$kind.safetensors" --tokenizer "$folder/$kind/tokenizer" --prediction epsilon -o "$folder/$kind-again"
    "$PYTHON" "$here/check_folder.py" "$program" "$folder/$kind-again" --side 72
done
