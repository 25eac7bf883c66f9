#!/bin/sh
# The demonstration: contact sheets by the shipped student, invented combinations among them, and the comparison with its teacher.
# Writes into BUILD/demo only. Usage: demo.sh BUILD
set -eu

build=$1
here=$(cd "$(dirname "$0")/.." && pwd)
model=$here/models/emoji
out=$build/demo

if [ ! -f "$model/student/model_index.json" ]; then
    echo "demo: $model/student is missing: this checkout carries no trained model; make one with: onestep train --help" >&2
    exit 1
fi
mkdir -p "$out"
"$build/onestep" generate -m "$model/student" --prompts "$model/demo.txt" -s 1 -o "$out/pictures"
"$build/onestep" generate -m "$model/student" --prompts "$model/invented.txt" -s 1 -o "$out/invented" \
    --title "Invented: no font ships these"
"$build/onestep" compare --teacher "$model/teacher" --student "$model/student" --prompts "$model/demo.txt" -o "$out/compare"
echo
echo "Look at:"
echo "  $out/pictures/sheet.png   the student, one step each"
echo "  $out/invented/sheet.png   combinations that no font ships"
echo "  $out/compare/index.html   teacher and student side by side, with time and energy"
