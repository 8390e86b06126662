#!/usr/bin/env python3
"""One-token mutants of rules and kernels: how many does the test program notice?

tests/mutate.py [--count N] [--seed S] [--only GLOB] [--report FILE]

Works on a copy of the sources under build-mutate/, so the tree is never touched. Each mutant changes one token of one
.cpp file (an operator, a comparison, a constant, an argument order), rebuilds that file and runs the test cases that
concern it; a mutant that no longer compiles is not counted. Survivors are listed with file, line and change. A run
that was interrupted goes on where it was: results are kept in build-mutate/results.json by file and line of code. What
only prices work (grains, costs, scratch space) is left out: it changes no value.
"""
import argparse, fnmatch, hashlib, json, os, pathlib, re, resource, shutil, subprocess, sys, time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORK = ROOT / "build-mutate"
TARGETS = ["autograd/ops/*.cpp", "autograd/tape.cpp", "autograd/jvp.cpp", "tensor/cpu/*.cpp", "nn/optim/*.cpp",
           "distill/objectives/*.cpp"]
TOKENS = [(r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "), (r" / ", " * "), (r" < ", " <= "), (r" <= ", " < "),
          (r" > ", " >= "), (r" == ", " != "), (r"\bsum\(", "mean("), (r"\b1\.0\b", "2.0"), (r"\b0\.5\b", "0.25"),
          (r"\btrue\b", "false"), (r"\bfalse\b", "true"), (r"\bcos\(", "sin("), (r"\bneg\(", "abs("),
          (r"c\.in\[0\]", "c.in[1]"), (r"c\.in\[1\]", "c.in[0]"), (r"\+= ", "-= "), (r" && ", " || "),
          (r"std::max\b", "std::min"), (r"std::min\b", "std::max"), (r"\b2\.0\b", "3.0")]
IGNORED = re.compile(r"^\s*(//|#|///|throw |static_assert|constexpr std::string_view)|Error\(|fmt::|template <|namespace|REGISTER_OP|kGrain|kBlock|kChunk|kBatch|kTile|grain|scratch|reserve|traffic|kTaskWork|for_each_matrix\(|nullptr|rows_per_task|Scratch<|per_task|kMin|Index work")

# Test cases that read files or the compiler's output, and most of those that start the program, which no mutant is in.
UNCONCERNED = ("install:*,vectorise:*,structure:*,io:*,dataset:*,full disk:*,run folder:*,run: killed*,run: SIGTERM*,"
               "run: bad jobs*,run: an existing*,convert: the program*,gpu job: run.device*,*`retort *,*`eval` *")


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


def run(command, seconds):
    """None when it took too long, which is noticed too: seconds of processor time, so that a busy machine kills nothing."""
    def limited():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        return subprocess.run(command, cwd=WORK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10 * seconds,
                              errors="replace", text=True, preexec_fn=limited,
                              env=dict(os.environ, OMP_NUM_THREADS="2", OMP_WAIT_POLICY="passive"))
    except subprocess.TimeoutExpired:
        return None


def tests(filter):
    return run(["build/retort_tests", f"-tc={filter}", f"-tce={UNCONCERNED}", "--abort-after=1"], 400)


def passes(filter):
    r = tests(filter)
    return r is not None and r.returncode == 0


def filters(path):
    """The test cases that concern a file, then all: most mutants die in the first second."""
    stem = path.stem
    first = {"distill": ["objectives:*,methods: golden*", f"*{stem}*"],
             "nn": ["*optim*,*sgd*,*adam*,*aggregat*,*schedule*,*clip*,*ema*"]}
    if path.parts[0] in first:
        return first[path.parts[0]] + ["*"]
    kernels = re.findall(r"RETORT_CPU_KERNEL\((\w+)\)", (WORK / path).read_text())
    ops = {re.sub("_(backward|grad|gather)$", "", k) for k in kernels} or {stem}
    return [",".join(f"op: {op}" for op in sorted(ops)), f"op: *{stem.split('_')[0]}*,*{stem}*", "op:*", "*"]


def refresh(source, target):
    """Makes target equal to source; only what differs gets a new time, so that only that is built again."""
    if source.is_file():
        if not target.exists() or target.read_bytes() != source.read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        return
    for file in source.rglob("*"):
        if file.is_file():
            refresh(file, target / file.relative_to(source))
    for left in target.rglob("*"):
        if left.is_file() and not (source / left.relative_to(target)).exists():
            left.unlink()


def verdict(path):
    built = run(["ninja", "-C", "build", "--quiet", "retort_tests"], 900)
    if built is None or built.returncode != 0:
        return "invalid"
    return "survived" if all(passes(f) for f in filters(path)) else "killed"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--count", type=int, default=150)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--only", default="*")
    ap.add_argument("--report", default=str(ROOT / "tests/MUTANTS.md"))
    args = ap.parse_args()
    if not WORK.exists():
        WORK.mkdir()
    for name in ["cuda_kernels", "tensor", "autograd", "nn", "io", "distill", "tests", "docs", "README.md", "precompiled", "meson.build",
                 "meson_options.txt"]:
        refresh(ROOT / name, WORK / name)
    if not (WORK / "build").exists():
        subprocess.run(["meson", "setup", "build", "-Doptimization=1", "-Dbenchmarks=false"], cwd=WORK, check=True,
                       stdout=subprocess.DEVNULL, env=dict(os.environ, CXX="ccache g++"))
    else:
        subprocess.run(["meson", "setup", "--reconfigure", "build"], cwd=WORK, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", "build", "--quiet", "retort_tests", "retort"], cwd=WORK, check=True)
    unchanged = tests("*")
    if unchanged is None or unchanged.returncode != 0:
        said = unchanged.stdout[-2000:] if unchanged else "they took too long"
        sys.exit(f"mutate: the tests fail without any mutant:\n{said}")
    pool = [s for s in sites() if fnmatch.fnmatch(str(s[0]), args.only)]
    results_file = WORK / "results.json"
    results = json.loads(results_file.read_text()) if results_file.exists() else {}

    def draw(site):  # by what a mutant is, so that a run goes on after changes elsewhere
        path, number, begin, _, other = site
        line = (WORK / path).read_text().splitlines()[number]
        return hashlib.sha256(f"{args.seed}\t{path}\t{line}\t{begin}\t{other}".encode()).digest()
    pool.sort(key=draw)
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
        key = f"{path}\t{line.strip()}\t{mutant.strip()}"
        if key not in results:
            file.write_text("".join(lines))
            results[key] = verdict(path)
            file.write_text(original)
            results_file.write_text(json.dumps(results, indent=0))
        if results[key] == "survived":
            survivors.append((path, number + 1, line.strip(), mutant.strip()))
        killed += results[key] == "killed"
        invalid += results[key] == "invalid"
        done = killed + len(survivors)
        print(f"\r{done}/{args.count}: {killed} killed, {len(survivors)} survived, {invalid} did not build, "
              f"{time.time() - began:.0f} s", end="", flush=True)
    known = (ROOT / "tests/survivors.tsv").read_text().splitlines()
    reasons = {(path, mutant): reason for path, mutant, reason in (line.split("\t") for line in known)}
    total = killed + len(survivors)
    print(f"\n{killed} of {total} mutants killed ({100 * killed / max(total, 1):.1f} %)")
    with open(args.report, "w") as out:
        out.write(f"# Mutants\n\n{killed} of {total} one-token mutants of rules and kernels are killed "
                  f"({100 * killed / max(total, 1):.1f} %), seed {args.seed}; {invalid} more did not compile.\n\n")
        for path, number, line, mutant in survivors:
            reason = reasons.get((str(path), mutant), "NO REASON YET")
            out.write(f"- `{path}:{number}`: `{line}` -> `{mutant}`: {reason}\n")
    return 0


sys.exit(main())
