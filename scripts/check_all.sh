#!/bin/sh
# What `make check` runs: all tests of the ordinary build; kernels and models once more with the instruction set capped at AVX2;
# and, in the build with sanitizers, every suite but `training`, which takes most of a minute as it is. Closes with one line over everything.
# Usage: check_all.sh BUILD SANITIZED_BUILD
set -eu

build=$1
sanitized=$2
here=$(dirname "$0")
counts=$build/meson-logs/counts.txt
rm -f "$counts"
code=0

run() { # label, command...
    printf '\n== %s\n' "$1"
    shift
    CHECK_COUNTS="$counts" "$@" || code=1
}

run "all tests" sh "$here/check.sh" "$build" --no-suite long
run "kernels and models, AVX2 at most" env ONEDNN_MAX_CPU_ISA=AVX2 sh "$here/check.sh" "$build" --suite kernels --suite models
run "sanitizers" env UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sh "$here/check.sh" "$sanitized" \
    --no-suite long --no-suite training --timeout-multiplier 5
printf '\n'
[ -f "$counts" ] || exit 1
awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$counts"
exit "$code"
