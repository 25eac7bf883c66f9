"""Prints what compare_training.sh measured: screened variants, then onestep and PyTorch's best by rounds, and their ratio."""
import json
import statistics
import sys

screen, rounds = ([json.loads(line) for line in open(path, encoding="utf-8")] for path in sys.argv[1:3])
ours = [r for r in rounds if r["program"] == "onestep"]
peers = [r for r in rounds if r["program"] != "onestep"]
first = ours[0]
print(f"\n{first['recipe']}: batch {first['batch']}, {first['parameters']} parameters, {first['threads']} threads")
for r in screen:
    print(f"  screened: {r['program']:<36} {r['ms_per_step']:9.1f} ms a step")
medians = []
for group in (ours, peers):
    ms = statistics.median(r["ms_per_step"] for r in group)
    least, most = min(r["ms_least"] for r in group), max(r["ms_most"] for r in group)
    medians.append(ms)
    print(f"  {group[0]['program']:<46} {ms:9.1f} ms a step ({least:.1f} to {most:.1f}; {len(group)} rounds of {group[0]['steps']}), "
          f"{first['batch'] / ms * 1e3:.2f} pictures/s")
if len({r["parameters"] for r in rounds}) != 1:
    sys.exit("  the networks differ: their numbers of parameters are not the same")
print(f"  onestep is {medians[1] / medians[0]:.2f} times as fast")
if "share" in first:
    print(f"  {first['gflops']:.0f} GFLOP/s by the direct count: {100 * first['share']:.0f} % of the roofline of "
          f"{first['roofline_gflops']:.0f}, {100 * first['share_without_fast_algorithms']:.0f} % of what it were without fast algorithms")
