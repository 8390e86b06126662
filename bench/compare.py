#!/usr/bin/env python3
"""bench/compare.py -- Retort against PyTorch, both sides taking turns; writes bench/RESULTS.md.

bench/compare.py PROGRAM [--rows GLOB] [--pairs 7] [--report FILE]

Each row is set up once in a process per side; then the sides run in turn, `pairs` times, long enough to be measured.
The ratio of a row is the median over pairs of (peer's seconds / ours): above 1, Retort is faster. Rows of whole steps
also get the peak memory of a fresh process per side, above what it held before the set-up. Both sides must use the same
number of threads.
"""
import argparse, fnmatch, os, pathlib, platform, statistics, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET, WHOLE_STEP_TARGET, MEMORY_TARGET = 0.95, 1.3, 0.8


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"{line}: {answer or 'the process ended'}")
        return answer

    def run(self, n):
        seconds, result = self.ask(f"run {n}").split()
        return float(seconds), float(result)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(sides, row, pairs, at_least):
    iterations = []
    for side in sides:
        side.ask(f"prepare {row}")
        n = 1
        while True:  # also warms up
            seconds, _ = side.run(n)
            if seconds > at_least / 4 or n > 1 << 20:
                break
            n *= 2
        iterations.append(max(1, round(n * at_least / seconds)))
    times, results = ([], []), [0, 0]
    for pair in range(pairs):
        for s in (0, 1) if pair % 2 == 0 else (1, 0):
            seconds, results[s] = sides[s].run(iterations[s])
            times[s].append(seconds / iterations[s])
    ratio = statistics.median(theirs / ours for ours, theirs in zip(*times))
    return statistics.median(times[0]), statistics.median(times[1]), ratio, results


def peak(command, row, n):
    side = Side(command)
    side.ask("prepare warm_up")
    bytes_, _ = side.ask(f"memory {row} {n}").split()
    side.close()
    return int(bytes_)


def duration(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("program")
    ap.add_argument("--rows", default="*")
    ap.add_argument("--pairs", type=int, default=7)
    ap.add_argument("--seconds", type=float, default=0.3, help="per side and pair, at least")
    ap.add_argument("--report")
    args = ap.parse_args()
    ours = [args.program, "--serve"]
    theirs = [sys.executable, str(ROOT / "bench/peer.py")]
    sides = Side(ours), Side(theirs)
    threads = [side.ask("threads") for side in sides]
    if threads[0] != threads[1]:
        sys.exit(f"compare: the sides use {threads[0]} and {threads[1]} threads")
    known = [side.ask("list").split() for side in sides]
    if set(known[0]) != set(known[1]):
        sys.exit(f"compare: rows of one side only: {sorted(set(known[0]) ^ set(known[1]))}")
    lines = []
    for row in known[1]:
        if row == "warm_up" or not fnmatch.fnmatch(row, args.rows):
            continue
        a, b, ratio, results = measure(sides, row, args.pairs, args.seconds)
        whole = row.startswith(("step_", "eval_"))
        cells = [f"`{row}`", duration(a), duration(b), f"{ratio:.2f}"]
        missed = ratio < (WHOLE_STEP_TARGET if whole else TARGET)
        if whole:
            memory = [peak(side, row, 3) for side in (ours, theirs)]
            share = memory[0] / max(memory[1], 1)
            missed = missed or share > MEMORY_TARGET
            cells += [f"{memory[0] / 2**20:.0f} MB / {memory[1] / 2**20:.0f} MB = {share:.2f}",
                      f"{results[0]:.4g} / {results[1]:.4g}"]
        else:
            cells += ["", ""]
        lines.append("| " + " | ".join(cells + ["missed" if missed else ""]) + " |")
        print(lines[-1], flush=True)
    version = sides[1].ask("version")
    for side in sides:
        side.close()
    if args.report:
        cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
        commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, text=True, capture_output=True).stdout.strip()
        pathlib.Path(args.report).write_text(f"""# Retort against PyTorch on the CPU

{cpu}, {threads[0]} threads on both sides; Retort at commit {commit}, {platform.python_implementation()} {platform.python_version()}, PyTorch {version};
{time.strftime('%Y-%m-%d')}. Sides take turns; figures are medians of {args.pairs} pairs. The ratio is PyTorch's time over
Retort's: above 1, Retort is faster. Goals: {TARGET} on every row, {WHOLE_STEP_TARGET} on whole steps, peak memory of whole
steps at most {MEMORY_TARGET} of PyTorch's. Made by `./dev bench --peers`.

| row | Retort | PyTorch | ratio | peak memory | last loss (Retort / PyTorch) | |
|---|---|---|---|---|---|---|
""" + "\n".join(lines) + "\n\n" + (ROOT / "bench/missed.md").read_text())


main()
