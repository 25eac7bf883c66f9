#!/bin/sh
# Runs the fuzz targets of tests/fuzz for a minute each, in a build folder of their own, since libFuzzer and the sanitizers
# instrument the whole library. Where no clang can link them: says so and succeeds.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "skipped: fuzz targets: $1"
    exit 0
}

sh scripts/deps.sh clang libclang-rt-dev libomp-dev || skip "clang could not be installed"
command -v clang >/dev/null 2>&1 || skip "no clang here"

probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
echo 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return d && n > 9; }' >"$probe/probe.c"
clang -fsanitize=fuzzer,address,undefined -fopenmp "$probe/probe.c" -o "$probe/probe" 2>"$probe/log" || {
    cat "$probe/log" >&2
    skip "this clang cannot link -fsanitize=fuzzer with OpenMP (Debian: clang, libclang-rt-dev, libomp-dev)"
}

test -f build-fuzz/build.ninja || CC=clang meson setup build-fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
echo "fuzzing: a minute per target, crashing inputs go to build-fuzz/tests/fuzz"
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 sh scripts/check.sh build-fuzz --suite fuzz --suite libfuzzer
