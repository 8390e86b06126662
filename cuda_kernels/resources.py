#!/usr/bin/env python3
"""cuda_kernels/resources.py [--write] -- registers, shared memory and spills of every kernel, as ptxas tells them.

Compiles every .cu and compares with RESOURCES.tsv when that was made by the same nvcc; --write makes the table anew.
Exits 1 where a kernel differs, is missing or spills."""
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "RESOURCES.tsv"
COLUMNS = "unit\tarch\tkernel\tregisters\tshared_bytes\tstack_bytes\tspill_bytes"
FLAGS = ["-std=c++17", "-O3", "-fmad=false", "-I", str(HERE.parent), "-gencode=arch=compute_80,code=sm_80",
         "-gencode=arch=compute_90,code=sm_90", "-Xptxas=-v"]


def nvcc_version():
    text = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    return re.search(r"V([\d.]+)", text).group(1)


def demangled(names):
    text = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    short = []
    for name in text.splitlines():
        name = re.sub(r"retort::(kernels::cuda|elementwise)::", "", name)
        short.append(re.sub(r"^void ", "", name).split("(")[0])
    return short


def measure(unit):
    log = subprocess.run(["nvcc", *FLAGS, "-c", str(unit), "-o", "/dev/null"], capture_output=True, text=True)
    if log.returncode != 0:
        sys.exit(log.stderr)
    pattern = (r"Compiling entry function '(\w+)' for '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
               r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)")
    rows = []
    for name, arch, stack, stores, loads, registers, rest in re.findall(pattern, log.stderr, re.S):
        shared = re.search(r"(\d+) bytes smem", rest)
        rows.append((arch, name, registers, shared.group(1) if shared else "0", stack, str(int(stores) + int(loads))))
    names = demangled([row[1] for row in rows])
    return sorted("\t".join([unit.stem, row[0], name, *row[2:]]) for row, name in zip(rows, names))


def main():
    version = nvcc_version()
    rows = [row for unit in sorted(HERE.glob("*.cu")) for row in measure(unit)]
    text = "\n".join([f"# nvcc {version}", COLUMNS, *rows]) + "\n"
    spills = [row for row in rows if row.split("\t")[-1] != "0"]
    for row in spills:
        print("spills:", row)
    if "--write" in sys.argv[1:]:
        TABLE.write_text(text)
        return 0
    old = TABLE.read_text()
    if old.splitlines()[0] != f"# nvcc {version}":
        print(f"the table is of another compiler ({old.splitlines()[0][2:]}); this is nvcc {version}")
        return 1 if spills else 0
    changed = sorted(set(old.splitlines()) ^ set(text.splitlines()))
    print("\n".join(changed))
    return 1 if changed or spills else 0


sys.exit(main())
