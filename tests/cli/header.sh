#!/bin/sh
# The public header compiles alone, as C11 and as C++11, without a warning. Usage: header.sh FOLDER-OF-THE-HEADER
set -eu

printf '#include "onestep.h"\n' | ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$1" -fsyntax-only -x c -
compiler=${CXX:-c++}
if ! command -v "$compiler" >/dev/null 2>&1; then
    echo "no C++ compiler here"
    exit 77
fi
printf '#include "onestep.h"\n' | "$compiler" -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$1" -fsyntax-only -x c++ -
