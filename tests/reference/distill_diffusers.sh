#!/bin/sh
# Both directions in one go: a pipeline made by diffusers' own classes is the teacher; onestep makes pairs with it, distils it from
# captions alone and evaluates it; the student goes back into diffusers, which must draw the same picture from the same seed.
# The networks are tiny and random: this shows that formats and settings agree, not that the student is good.
# Usage: PYTHON=VENV/bin/python tests/reference/distill_diffusers.sh [BUILD]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
onestep=$(cd "${1:-build}" && pwd)/onestep
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

"$python" "$here/make_pipeline.py" teacher
printf 'cat\ndog\nthe cat\nthe dog\n' >captions.txt
"$onestep" pairs -q -m teacher --data captions.txt --count 8 --steps 3 -o pairs
"$onestep" distill -q -m teacher --data captions.txt --pairs pairs --iterations 6 -o student \
    --set distill.warmup_iterations=3,distill.batch_size=2,distill.pair_batch_size=2
mkdir pictures
"$onestep" generate -q -m teacher -p "the cat" -b 4 --steps 2 -o pictures
for picture in pictures/*.png; do
    case $picture in *sheet*) rm "$picture" ;; *) echo "the cat" >"${picture%.png}.txt" ;; esac
done
"$onestep" eval -m student --data pictures --n 4 --features features
"$python" "$here/check_folder.py" "$onestep" student

# the same with an adapter: merged, and as the LoRA that diffusers puts on the teacher
"$onestep" distill -q -m teacher --data captions.txt --pairs pairs --iterations 12 -o adapted \
    --set distill.lora_rank=4,distill.warmup_iterations=8,distill.batch_size=2,distill.pair_batch_size=2,distill.lr=1e-2,distill.ema=0.5
"$python" "$here/check_folder.py" "$onestep" adapted
"$python" "$here/check_folder.py" "$onestep" adapted --teacher teacher
