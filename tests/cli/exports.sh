#!/bin/sh
# The shared library exports onestep_* and nothing else, and every function that the header declares.
# Usage: exports.sh LIBRARY HEADER
set -eu

symbols=$(nm -D --defined-only "$1" | awk '{ print $3 }' | sed 's/@.*//')
strangers=$(printf '%s\n' "$symbols" | grep -v '^onestep_' || true)
if [ -n "$strangers" ]; then
    echo "exported besides onestep_*:" $strangers >&2
    exit 1
fi
declared=$(grep -o 'onestep_[a-z_]*(' "$2" | tr -d '(' | sort -u)
[ -n "$declared" ]
for name in $declared; do
    printf '%s\n' "$symbols" | grep -qxF "$name" || {
        echo "declared but not exported: $name" >&2
        exit 1
    }
done
