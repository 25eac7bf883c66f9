#!/bin/sh
# Runs the tests of a build folder and closes with one line over all test cases: "N passed, N failed, N skipped".
# A cmocka program counts by its cases, any other test as one. CHECK_COUNTS names a file
# that gets the three numbers. Usage: check.sh BUILD [arguments of meson test]
set -eu

build=$1
shift
log=$build/meson-logs/testlog.json
rm -f "$log"
code=0
# A program's cases reach the log whole; --print-errorlogs shows those of failing ones.
meson test -C "$build" --print-errorlogs "$@" || code=$?
[ -f "$log" ] || {
    echo "check: the tests did not run" >&2
    exit 1
}
python3=$(command -v python3) # Meson itself runs on it
"$python3" - "$log" "$code" <<'PYTHON'
import json
import os
import re
import sys

passed = failed = skipped = 0
for line in open(sys.argv[1], encoding="utf-8"):
    test = json.loads(line)
    text = (test.get("stdout") or "") + (test.get("stderr") or "")
    marks = re.findall(r"^\[ *(OK|FAILED|SKIPPED|ERROR|LEAKED) *\] (?!\d)(\S+)$", text, re.M)
    cases = {}
    for mark, name in marks:
        worse = mark if cases.get(name, "OK") in ("OK", "SKIPPED") else cases[name]
        cases[name] = worse
    n_failed = sum(m in ("FAILED", "ERROR", "LEAKED") for m in cases.values())
    n_skipped = sum(m == "SKIPPED" for m in cases.values())
    if cases:
        passed += len(cases) - n_failed - n_skipped
    elif test["result"] in ("OK", "EXPECTEDFAIL"):
        passed += 1
    if not cases and test["result"] == "SKIP":
        n_skipped = 1
    if test["result"] in ("FAIL", "ERROR", "TIMEOUT", "UNEXPECTEDPASS", "INTERRUPT") and n_failed == 0:
        n_failed = 1  # crashed, timed out, or leaked after its last case
    failed += n_failed
    skipped += n_skipped
    for name, mark in cases.items():
        if mark == "SKIPPED":
            print(f"skipped: {test['name']}: {name}")
    if n_skipped and not cases:
        print(f"skipped: {test['name']}")
print(f"{passed} passed, {failed} failed, {skipped} skipped")
if os.environ.get("CHECK_COUNTS"):
    with open(os.environ["CHECK_COUNTS"], "a", encoding="utf-8") as counts:
        print(passed, failed, skipped, file=counts)
sys.exit(1 if failed or int(sys.argv[2]) else 0)
PYTHON
