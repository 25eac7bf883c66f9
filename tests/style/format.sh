#!/bin/sh
# Names the files that clang-format would change (.clang-format; versions 14 and 19 agree on it). Usage: format.sh SOURCE_ROOT
set -eu
cd "$1"

command -v clang-format >/dev/null 2>&1 || {
    echo "no clang-format here (Debian: clang-format)"
    exit 77 # skipped, as Meson reads it
}
code=0
list=$(find include src tools tests bench examples -name '*.[ch]' 2>/dev/null | sort)
[ -n "$list" ] || exit 1
# shellcheck disable=SC2086 # a list of words
clang-format --dry-run -Werror $list 2>"${TMPDIR:-/tmp}/onestep-format.$$" || code=1
sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: error: .*/to be formatted (make format): \1/p' "${TMPDIR:-/tmp}/onestep-format.$$" | sort -u
rm -f "${TMPDIR:-/tmp}/onestep-format.$$"
exit "$code"
