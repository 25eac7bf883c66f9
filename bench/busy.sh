#!/bin/bash
# What is left of onestep's speed beside other work: as many busy loops as cores beside it, and two of it side by side.
#
# Usage: bench/busy.sh [CASE...]   of generate start bench pairs train distill (all), with, from the environment:
#   BUILD=build   ROUNDS=3   ONESTEP_BASE=PROGRAM (another build, whose idle time is printed beside ours)
# Seconds of whole programs, start and all, medians of rounds in which every variant has its turn. A fair share of a core that one other
# program wants is 50 %. Side by side: what two make in the time that both take, as a share of what one makes alone.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
model=$here/../models/emoji build=${BUILD:-$here/../build} rounds=${ROUNDS:-3} base=${ONESTEP_BASE:-}
cases=${*:-generate start bench pairs train distill}
unset "${!OMP_@}" "${!GOMP_@}"
tmp=$(mktemp -d)
loops=
stop_loops() {
    [ -z "$loops" ] || kill $loops 2>/dev/null || true
    [ -z "$loops" ] || wait $loops 2>/dev/null || true
    loops=
}
trap 'stop_loops; rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

start_loops() {
    for _ in $(seq "$(nproc)"); do
        sh -c 'while :; do :; done' &
        loops="$loops $!"
    done
}

quiet=every.sample=1000,every.health=1000,sample.steps=1 # steps, and little else
# The work of a case: PROGRAM, then a folder of its own.
work_generate() { "$1" generate -m "$model/student" -p heart -s 1 -b 256 -o "$2"; }
work_start() { for i in 1 2 3 4 5; do "$1" generate -m "$model/student" -p heart -s "$i" -o "$2/one.png"; done; }
work_bench() { "$1" bench -m "$model/student" --runs 200; }
work_pairs() { "$1" pairs -m "$model/teacher" --data "$model/demo.txt" --count 32 --steps 4 -o "$2"; }
work_train() {
    "$1" train --recipe "$here/../recipes/emoji.json" --data "$tmp/data" --init "$model/teacher" --iterations 12 --batch-size 8 \
        --set "$quiet" -o "$2"
}
work_distill() {
    "$1" distill -m "$model/teacher" --recipe "$here/../recipes/emoji.json" --data "$tmp/data" --pairs "$tmp/pairs" --iterations 6 \
        --batch-size 4 --set "distill.pair_batch_size=4,distill.warmup_iterations=2,distill.weight_pixel=0,perceptual.iterations=0,$quiet" \
        -o "$2"
}

run() { # CASE PROGRAM NAME
    rm -rf "$tmp/$3"
    mkdir -p "$tmp/$3"
    "work_$1" "$2" "$tmp/$3" >"$tmp/$3.log" 2>&1 || {
        echo "$1 failed:" >&2
        tail -n 3 "$tmp/$3.log" >&2
        exit 1
    }
}

timed() { # FILE COMMAND...: appends the seconds that the command takes
    local file=$1 begin=$EPOCHREALTIME
    shift
    "$@"
    awk "BEGIN { print $EPOCHREALTIME - $begin }" >>"$file"
}

both() { # CASE
    local first
    run "$1" "$build/onestep" left &
    first=$!
    run "$1" "$build/onestep" right
    wait "$first"
}

median() { sort -g "$1" | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int(NR / 2) + 1]) / 2 }'; }

make_data() {
    mkdir -p "$tmp/data"
    head -n 32 "$model/demo.txt" >"$tmp/captions"
    "$build/onestep" generate -m "$model/student" --prompts "$tmp/captions" -s 1 -o "$tmp/data" >"$tmp/log" 2>&1
    rm -f "$tmp/data/sheet.png"
    awk -v folder="$tmp/data" '{ file = sprintf("%s/%05d.txt", folder, NR - 1); print >file; close(file) }' "$tmp/captions"
    "$build/onestep" pairs -m "$model/teacher" --data "$tmp/data" --recipe "$here/../recipes/emoji.json" --count 16 --steps 2 \
        -o "$tmp/pairs" >"$tmp/log" 2>&1
}

case " $cases " in *" train "* | *" distill "*) make_data ;; esac
printf '%-10s %9s %9s %11s %12s%s\n' case 'idle s' 'busy s' 'kept' 'two at once' "${base:+   base idle s   rate beside it}"
for c in $cases; do
    rm -f "$tmp"/*.s
    run "$c" "$build/onestep" warm
    for _ in $(seq "$rounds"); do
        timed "$tmp/idle.s" run "$c" "$build/onestep" out
        [ -z "$base" ] || timed "$tmp/base.s" run "$c" "$base" out
        timed "$tmp/both.s" both "$c"
        start_loops
        timed "$tmp/busy.s" run "$c" "$build/onestep" out
        stop_loops
    done
    [ -n "$base" ] || echo 0 >"$tmp/base.s"
    echo "$c $(median "$tmp/idle.s") $(median "$tmp/busy.s") $(median "$tmp/both.s") $(median "$tmp/base.s")" |
        awk '{ printf "%-10s %9.3f %9.3f %9.0f %% %10.0f %%", $1, $2, $3, 100 * $2 / $3, 200 * $2 / $4
               if ($5 > 0) printf "   %11.3f   %12.1f %%", $5, 100 * $5 / $2
               print "" }'
done
