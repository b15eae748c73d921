#!/usr/bin/env python3
"""Compiles tests/targets/suspend_corpus.cpp with every compiler and level, lets suspend_corpus_check compare each suspended frame with
its truth, and prints the table. Fails when an answer marked exact is wrong, or when too few are exact with the source at hand."""

import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

LEAST_EXACT = {"g++": 99.0, "clang++": 97.0}  # percent, with the source text
LEVELS = ["-O0", "-O1", "-O2", "-O3", "-Os"]
VARIANTS = {
    "no-pie": ["-fno-pie", "-no-pie"],
    "cet": ["-fcf-protection=full"],
    "lto": ["-flto"],
    "asan": ["-fsanitize=address"],
}
VARIED = {"g++-12": list(VARIANTS), "clang++-16": ["lto", "asan"], "clang++-19": list(VARIANTS)}


def configurations():
    for compiler in ["g++-12", "clang++-14", "clang++-16", "clang++-19"]:
        for level in LEVELS:
            yield compiler, level, ""
        for variant in VARIED.get(compiler, []):
            yield compiler, "-O2", variant


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)


def measure(checker, sources, folder, configuration):
    """Returns (configuration, {mode: {field: number}}, notes) or (configuration, None, [reason])."""
    compiler, level, variant = configuration
    if shutil.which(compiler) is None:
        return configuration, None, [f"{compiler} is not installed"]
    program = os.path.join(folder, f"corpus.{compiler}{level}.{variant}")
    flags = VARIANTS.get(variant, ["-fPIE", "-pie"])
    command = [compiler, "-std=c++20", "-g", level, *flags, os.path.join(sources, "suspend_corpus.cpp"), "-o", program]
    if variant == "lto" and compiler.startswith("clang"):
        command.append("-fuse-ld=lld" + compiler.removeprefix("clang++"))
        if shutil.which("ld.lld" + compiler.removeprefix("clang++")) is None:
            return configuration, None, ["lld is not installed"]
    compiled = run(command)
    if compiled.returncode != 0:
        if "libasan" in compiled.stdout or "libclang_rt.asan" in compiled.stdout:
            return configuration, None, ["the sanitizer's runtime is not installed"]
        return configuration, {}, ["does not compile: " + compiled.stdout[-2000:]]
    frames = program + ".frames"
    with open(frames, "w", encoding="ascii") as output:
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:alloc_dealloc_mismatch=0")
        if subprocess.run([program], stdout=output, stdin=subprocess.DEVNULL, env=environment).returncode != 0:
            return configuration, {}, ["the corpus program failed"]
    checked = run([checker, program, frames])
    summaries, notes = {}, []
    for line in checked.stdout.splitlines():
        words = line.split()
        if words and words[0] == "summary":
            summaries[words[1]] = {k: float(v) for k, v in (w.split("=") for w in words[2:])}
        else:
            notes.append(line)
    if checked.returncode != 0:
        return configuration, {}, notes + [f"the checker ended with {checked.returncode}"]
    os.unlink(frames)
    os.unlink(program)
    return configuration, summaries, notes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checker", required=True)
    parser.add_argument("--sources", required=True, help="tests/targets")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", help="regular expression over 'compiler level variant'")
    parser.add_argument("--all-notes", action="store_true", help="print every frame that is not exact")
    options = parser.parse_args()

    wanted = [c for c in configurations() if re.search(options.only, " ".join(c))]
    failures, measured = [], 0
    print(f"{'configuration':<26}{'frames':>7} |{'with source text':^40}|{'without':^40}|{'microseconds':^20}")
    print(f"{'':<26}{'':>7} |" + f"{'exact':>8}{'near':>8}{'wrong':>8}{'none':>8}{'kind':>8}|" * 2 +
          f"{'first':>7}{'next':>6}{'again':>7}")
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda c: measure(options.checker, options.sources, folder, c), wanted)
        for (compiler, level, variant), summaries, notes in results:
            name = f"{compiler} {level} {variant}".strip()
            if summaries is None:
                print(f"{name:<26} skipped: {notes[0]}")
                continue
            if not summaries:
                failures.append(f"{name}: " + "\n".join(notes))
                print(f"{name:<26} FAILED")
                continue
            measured += 1
            cells = ""
            for mode in ["with-text", "without-text"]:
                s = summaries[mode]
                cells += (f"{100 * s['exact'] / s['frames']:>7.1f}%{s['near']:>8.0f}{s['wrong']:>8.0f}{s['none']:>8.0f}"
                          f"{s['kind']:>8.0f}|")
                if s["wrong"] != 0:
                    failures.append(f"{name}: {s['wrong']:.0f} answers marked exact are wrong ({mode})")
            s = summaries["with-text"]
            print(f"{name:<26}{s['frames']:>7.0f} |{cells}{s['first_us']:>7.0f}{s['further_us']:>6.0f}{s['repeated_us']:>7.1f}",
                  flush=True)
            least = LEAST_EXACT[re.match(r"[a-z+]+", compiler).group()]
            if 100 * s["exact"] / s["frames"] < least:
                failures.append(f"{name}: less than {least} % exact")
            for note in notes:
                if options.all_notes or "WRONG" in note:
                    print("    " + note)
    if measured == 0:
        print("skipped: no compiler of the corpus is installed")
        return 77
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
