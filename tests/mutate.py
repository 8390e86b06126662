#!/usr/bin/env python3
"""One-token mutants of rules and kernels: how many does the test program notice?

tests/mutate.py [--count N] [--seed S] [--only GLOB] [--report FILE]

Works on a copy of the sources under build-mutate/, so the tree is never touched. Each mutant changes one token of one
.cpp file (an operator, a comparison, a constant, an argument order), rebuilds that file and runs the test cases that
concern it; a mutant that no longer compiles is not counted. Survivors are listed with file, line and change.
"""
import argparse, fnmatch, os, pathlib, random, re, shutil, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build-mutate"
TARGETS = ["autograd/ops/*.cpp", "autograd/tape.cpp", "autograd/jvp.cpp", "tensor/cpu/*.cpp", "nn/optim/*.cpp",
           "distill/objectives/*.cpp"]
TOKENS = [(r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "), (r" / ", " * "), (r" < ", " <= "), (r" <= ", " < "),
          (r" > ", " >= "), (r" == ", " != "), (r"\bsum\(", "mean("), (r"\b1\.0\b", "2.0"), (r"\b0\.5\b", "0.25"),
          (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"\bcos\(", "sin("), (r"\bneg\(", "abs("),
          (r"c\.in\[0\]", "c.in[1]"), (r"c\.in\[1\]", "c.in[0]"), (r"\+= ", "-= "), (r" && ", " || "),
          (r"std::max\b", "std::min"), (r"std::min\b", "std::max"), (r"\b2\.0\b", "3.0")]
IGNORED = re.compile(r"^\s*(//|#|///|throw |static_assert|constexpr std::string_view)|Error\(|fmt::|template <|namespace|REGISTER_OP|kGrain|kBlock|kChunk|kBatch|kTile|grain|scratch|reserve")


def sites():
    for pattern in TARGETS:
        for path in sorted(WORK.glob(pattern)):
            for number, line in enumerate(path.read_text().splitlines()):
                if IGNORED.search(line):
                    continue
                code = line.split("//")[0]
                for token, other in TOKENS:
                    for m in re.finditer(token, code):
                        yield path.relative_to(WORK), number, m.start(), m.end(), other


def run(command, limit):
    try:
        return subprocess.run(command, cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=limit,
                              text=True, env=dict(os.environ, OMP_NUM_THREADS="2"))
    except subprocess.TimeoutExpired:
        return None  # a mutant that hangs is noticed


def filters(path):
    """The test cases that concern a file, then all: most mutants die in the first second."""
    stem = path.stem
    first = {"distill": "objectives:*,methods:*", "nn": "*optim*,*sgd*,*adam*,*aggregat*,*schedule*,*clip*,*ema*"}
    return [first.get(path.parts[0], f"op: {stem}"), f"op: {stem}*,*{stem}*", "*"]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--count", type=int, default=150)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="*")
    ap.add_argument("--report", default=str(ROOT / "tests/MUTANTS.md"))
    args = ap.parse_args()
    if not WORK.exists():
        WORK.mkdir()
    for folder in ["tensor", "autograd", "nn", "io", "distill", "tests", "meson.build", "meson_options.txt"]:
        source, target = ROOT / folder, WORK / folder
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
            for left in target.rglob("*"):  # files that are gone since the last run
                if left.is_file() and not (source / left.relative_to(target)).exists():
                    left.unlink()
        else:
            shutil.copy2(source, target)
    if not (WORK / "build").exists():
        subprocess.run(["meson", "setup", "build", "-Doptimization=1", "-Dbenchmarks=false"], cwd=WORK, check=True,
                       stdout=subprocess.DEVNULL, env=dict(os.environ, CXX="ccache g++"))
    else:
        subprocess.run(["meson", "setup", "--reconfigure", "build"], cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", "build", "--quiet", "retort_tests"], cwd=WORK, check=True)
    pool = [s for s in sites() if fnmatch.fnmatch(str(s[0]), args.only)]
    random.Random(args.seed).shuffle(pool)
    killed, survivors, invalid, began = 0, [], 0, time.time()
    for path, number, begin, end, other in pool:
        if killed + len(survivors) >= args.count:
            break
        file = WORK / path
        original = file.read_text()
        lines = original.splitlines(keepends=True)
        line = lines[number]
        mutant = line[:begin] + other + line[end:]
        lines[number] = mutant
        file.write_text("".join(lines))
        built = run(["ninja", "-C", "build", "--quiet", "retort_tests"], 600)
        if built is None or built.returncode != 0:
            invalid += 1
        else:
            noticed = False
            for f in filters(path):
                r = run(["build/retort_tests", f"-tc={f}"], 240)
                if r is None or r.returncode != 0:
                    noticed = True
                    break
            if noticed:
                killed += 1
            else:
                survivors.append((path, number + 1, line.strip(), mutant.strip()))
                print(f"survived {path}:{number + 1}: {mutant.strip()}", flush=True)
        file.write_text(original)
        done = killed + len(survivors)
        print(f"\r{done}/{args.count}: {killed} killed, {len(survivors)} survived, {invalid} did not build, "
              f"{time.time() - began:.0f} s", end="", flush=True)
    total = killed + len(survivors)
    print(f"\n{killed} of {total} mutants killed ({100 * killed / max(total, 1):.1f} %)")
    with open(args.report, "w") as out:
        out.write(f"# Mutants\n\n{killed} of {total} one-token mutants of rules and kernels are killed "
                  f"({100 * killed / max(total, 1):.1f} %), seed {args.seed}; {invalid} more did not compile.\n\n")
        for path, number, line, mutant in survivors:
            out.write(f"- `{path}:{number}`: `{line}` -> `{mutant}`\n")
    return 0


sys.exit(main())
