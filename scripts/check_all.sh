#!/bin/sh
# What `make check` runs: all tests of the ordinary build; kernels and models once more with the instruction set capped at AVX2, where the CPU has more;
# and, in the build with sanitizers, every suite but `training`, whose networks learn for minutes there. Closes with one line over everything.
# With `long`, as in `make check-long`: the suites `long` and `training` as well. Usage: check_all.sh BUILD SANITIZED_BUILD [long]
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

if [ "${3:-}" = long ]; then
    few="--timeout-multiplier 10"
    fewer=
else
    few="--no-suite long"
    fewer="--no-suite training"
fi
# shellcheck disable=SC2086 # lists of words
run "all tests" sh "$here/check.sh" "$build" $few
if grep -qw avx512f /proc/cpuinfo; then
    # shellcheck disable=SC2086
    run "kernels and models, AVX2 at most" env ONEDNN_MAX_CPU_ISA=AVX2 sh "$here/check.sh" "$build" --suite kernels --suite models $few
else
    printf '\n== kernels and models, AVX2 at most: this CPU has no more, so that all tests were just that\n'
fi
# shellcheck disable=SC2086
run "sanitizers" env UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sh "$here/check.sh" "$sanitized" \
    --no-suite style --timeout-multiplier 5 $few $fewer
printf '\n'
[ -f "$counts" ] || exit 1
awk '{ p += $1; f += $2; s += $3 } END { printf "%d passed, %d failed, %d skipped\n", p, f, s }' "$counts"
exit "$code"
