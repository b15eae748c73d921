#!/usr/bin/env python3
"""Programs made at random (tests/support/random_program.py), each with a compiler and a level of its own: every coroutine,
every await edge, and no line that is told to be exact and is wrong. A new seed costs nothing but time:

    check_random.py --tool build/development/cli/asyncdump --seeds 1000-1100

Exit status: 0 as it should be, 1 not, 77 skipped (with the reason).
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from checks import check, exit_status  # noqa: E402

VARIANTS = [(compiler, level) for level in ("-O0", "-O2", "-O3", "-O1")
            for compiler in ("g++-12", "clang++-16", "clang++-19", "clang++-14")]
SKIPPED = 77


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--seeds", default="1-10", metavar="FIRST-LAST")
    return parser.parse_args()


def compare(tool, seed, compiler, level, folder):
    name = f"seed {seed} with {compiler} {level}"
    source, target = folder / f"random{seed}.cpp", folder / f"random{seed}"
    subprocess.run([sys.executable, TESTS / "support" / "random_program.py", str(seed), source], check=True)
    built = subprocess.run([compiler, "-std=c++20", "-g", level, "-w", "-I", TESTS / "targets", source, "-o", target,
                            "-pthread"], capture_output=True, text=True, check=False)
    if built.returncode != 0:
        check(f"{name}: it compiles", False, built.stderr)
        return
    done = subprocess.run([sys.executable, TESTS / "live" / "check_target.py", "--tool", tool, "--lines", "true", "--",
                           target], capture_output=True, text=True, check=False)
    check(name, done.returncode == 0, done.stdout + done.stderr)


def main():
    options = arguments()
    variants = [variant for variant in VARIANTS if shutil.which(variant[0])]
    if not variants:
        print("skipped: none of the compilers is installed")
        return SKIPPED
    first, last = (int(number) for number in options.seeds.split("-"))
    with tempfile.TemporaryDirectory(prefix="asyncdump-random-") as folder:
        for seed in range(first, last + 1):
            compare(options.tool, seed, *variants[seed % len(variants)], pathlib.Path(folder))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
