#!/usr/bin/env python3
"""What asyncdump cannot dump, and what it cannot understand: one line on standard error, and the right exit status."""

import argparse
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from live_target import LiveTarget  # noqa: E402

NOTHING_DUMPED, USAGE = 2, 64
NOBODY = 65534
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17

failures, passed, skipped = [], 0, []


def expect(case, command, status, pattern, outputs_nothing=True):
    """One run of asyncdump. `pattern` has to be found in the one line on standard error."""
    global passed
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    errors = done.stderr.decode(errors="replace")
    wrong = []
    if done.returncode != status:
        wrong.append(f"exit status {done.returncode} instead of {status}")
    if status in (NOTHING_DUMPED, USAGE):
        if len(errors.splitlines()) != 1:
            wrong.append(f"{len(errors.splitlines())} lines on standard error instead of one")
        if not errors.startswith("asyncdump: "):
            wrong.append("standard error does not say that it is asyncdump's")
    if not re.search(pattern, errors, re.IGNORECASE):
        wrong.append(f"standard error does not say {pattern!r}")
    if outputs_nothing and done.stdout:
        wrong.append("something on standard output")
    if wrong:
        failures.append(case)
        print(f"WRONG: {case}: {'; '.join(wrong)}\n       {' '.join(map(str, command))}\n       {errors.strip()!r}")
    else:
        passed += 1
        print(f"{case}: {errors.strip()}")


def skip(case, reason):
    skipped.append(case)
    print(f"skipped: {case}: {reason}")


def ended_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def check_processes(tool, options):
    expect("no such process", [tool, str(ended_process())], NOTHING_DUMPED, r"no (such )?process|does not exist")

    zombie = subprocess.Popen(["true"], stdout=subprocess.PIPE)
    zombie.stdout.read()  # it has ended, and nobody has waited for it
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    expect("zombie", [tool, str(zombie.pid)], NOTHING_DUMPED, r"zombie")
    zombie.wait()

    try:
        comm = pathlib.Path("/proc/2/comm").read_text().strip()
    except OSError:
        comm = ""
    if comm == "kthreadd":
        expect("kernel thread", [tool, "2"], NOTHING_DUMPED, r"kernel")
    else:
        skip("kernel thread", "none is to be seen here")

    expect("itself", ["sh", "-c", 'exec "$0" $$', tool], NOTHING_DUMPED, r"itself|own|asyncdump")

    if options.sleeper_32 is None:
        skip("32-bit process", "this compiler builds no 32-bit programs")
    else:
        try:
            sleeper = subprocess.Popen([options.sleeper_32])
        except OSError as error:
            skip("32-bit process", f"the kernel runs none: {error}")
        else:
            expect("32-bit process", [tool, str(sleeper.pid)], NOTHING_DUMPED, r"32")
            sleeper.kill()
            sleeper.wait()


def check_on_target(tool, options):
    libc = ctypes.CDLL(None, use_errno=True)
    with LiveTarget([options.target]) as target:
        threads = [int(tid) for tid in os.listdir(f"/proc/{target.pid}/task") if int(tid) != target.pid]
        expect("a thread, no process", [tool, str(threads[0])], NOTHING_DUMPED, rf"{target.pid}")

        if libc.ptrace(PTRACE_SEIZE, target.pid, None, None) != 0:
            skip("traced already", f"this test may not trace: {os.strerror(ctypes.get_errno())}")
        else:
            expect("traced already", [tool, str(target.pid)], NOTHING_DUMPED, rf"traced.*\b{os.getpid()}\b")
            os.kill(target.pid, signal.SIGSTOP)  # a tracee can only be let go while it is stopped
            os.waitpid(target.pid, 0x40000000)   # __WALL
            os.kill(target.pid, signal.SIGCONT)
            libc.ptrace(PTRACE_DETACH, target.pid, None, None)

        if os.geteuid() != 0:
            expect("another user's process", [tool, "1"], NOTHING_DUMPED, r"permi|allowed")
        elif shutil.which("setpriv") is None:
            skip("another user's process", "setpriv is not installed")
        else:
            with tempfile.TemporaryDirectory() as folder:
                os.chmod(folder, 0o755)
                reachable = shutil.copy2(tool, folder)
                expect("another user's process",
                       ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all",
                        reachable, str(target.pid)], NOTHING_DUMPED, r"permi|allowed")

        expect("unwritable output file", [tool, str(target.pid), "--json", "-o", "/proc/nowhere/dump.json"],
               NOTHING_DUMPED, r"/proc/nowhere/dump.json")
        for option in ("--under", "--created-by"):
            expect(f"{option} without the agent", [tool, str(target.pid), option, "x"], NOTHING_DUMPED,
                   rf"{target.pid}.*no agent.*asyncdump run.*asyncdump inject {target.pid}")
        expect("an expression that is none", [tool, str(target.pid), "--task", "["], USAGE, r"\[")
        left = target.threads_left_stopped()
        ended = target.end_by_itself()
        if left or ended:
            failures.append("the target afterwards")
            print("WRONG:", left, ended)


def check_usage(tool):
    for case, words in {"no argument": [], "a word for a pid": ["server"], "a negative pid": ["-5"], "pid 0": ["0"],
                        "a pid beyond all": ["99999999999999999999"], "an unknown option": ["1", "--frobnicate"],
                        "two pids": ["1", "2"], "an option without its value": ["1", "--task"],
                        "trailing letters": ["1x"]}.items():
        expect(case, [tool, *words], USAGE, r"\S")
    for words in (["watch"], ["watch", "x"], ["watch", "1", "--interval", "5"], ["inject"], ["inject", "1", "--frobnicate"],
                  ["run"], ["run", "--stack", "99", "--", "true"], ["run", "--frobnicate", "--", "true"]):
        expect(" ".join(words), [tool, *words], USAGE, r"\S")
    for option in ("--help", "--version"):
        expect(option, [tool, option], 0, r"", outputs_nothing=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True, help="any target with several threads")
    parser.add_argument("--sleeper-32", help="targets/sleeper_32.c, where it can be built")
    options = parser.parse_args()
    check_usage(options.tool)
    check_processes(options.tool, options)
    check_on_target(options.tool, options)
    print(f"{passed} as they should be, {len(failures)} not, {len(skipped)} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
