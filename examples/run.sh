#!/bin/sh
# Runs an example on a tiny model and looks at what it made. Usage: run.sh NAME MAKE_TINY PROGRAM [GENERATE]
# (NAME python: PROGRAM is generate.py, whose picture is that of the C program GENERATE.)
set -eu

name=$1 make_tiny=$2 program=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
"$make_tiny" "$tmp/model"
case $name in
generate)
    "$program" "$tmp/model" "red heart" "$tmp/a.png"
    [ "$(head -c 4 "$tmp/a.png" | tail -c 3)" = PNG ]
    ! "$program" "$tmp/missing" "red heart" "$tmp/b.png" 2>"$tmp/err"
    grep -q "^not found: .*missing" "$tmp/err"
    ;;
cancel)
    "$program" "$tmp/model" | tee "$tmp/out"
    grep -q "^interrupted" "$tmp/out"
    ;;
python)
    if ! command -v python3 >/dev/null 2>&1; then
        echo "skipped: no python3 here"
        exit 77
    fi
    python3 "$program" "$tmp/model" "red heart" "$tmp/a.png"
    "$4" "$tmp/model" "red heart" "$tmp/b.png"
    cmp "$tmp/a.png" "$tmp/b.png"
    ;;
*)
    echo "no example $name" >&2
    exit 2
    ;;
esac
