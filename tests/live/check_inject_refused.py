#!/usr/bin/env python3
"""`asyncdump inject` into processes that it would harm, or that cannot load the agent: it says why in one line, at once,
and each of them goes on unharmed. And into those that only look alike.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402

NOTHING_DONE = 2
PR_CAPBSET_DROP, CAP_SYS_ADMIN = 24, 21
WHOLE_TIME = 60  # of an inject that looks for a safe point until its time is over
libc = ctypes.CDLL(None, use_errno=True)


def without_cap_sys_admin():
    if libc.prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot drop CAP_SYS_ADMIN")


def inject(tool, pid, *options, **how):
    return subprocess.run([tool, "inject", str(pid), "--timeout", str(WHOLE_TIME), *options], capture_output=True,
                          text=True, timeout=WHOLE_TIME / 2, check=False, **how)


def expect(tool, command, pattern, *options, case=None, comes_to_rest=True, **how):
    """Refused when there is a pattern, which the last line on standard error has; loaded otherwise."""
    case = case or " ".join(command[1:])
    with LiveTarget(command, comes_to_rest=comes_to_rest) as target:
        done = inject(tool, target.pid, *options, **how)
        said = done.stderr.splitlines()
        if pattern is None:
            check(f"{case}: loaded", done.returncode == 0 and "coroutines adopted" in done.stdout,
                  (done.returncode, done.stderr))
        else:
            check(f"{case}: {said[-1] if said else 'silence'}",
                  done.returncode == NOTHING_DONE and not done.stdout and re.search(pattern, done.stderr),
                  (done.returncode, done.stderr))
        ended = target.end_by_itself()
        check(f"{case}: unharmed", ended is None, ended)
        return said


def check_filters(tool, target):
    for action, call, verb in (("kill", "openat", "kills the process at openat"),
                               ("kill_thread", "openat", "kills a thread at openat"),
                               ("trap", "openat", "raises SIGSYS at openat"),
                               ("errno", "openat", "lets openat fail"),
                               ("trace", "openat", "hands openat over"),
                               ("kill", "mprotect", "kills the process at mprotect"),
                               ("kill", "mmap_exec", "kills the process at mmap"),
                               ("kill", "rt_sigreturn", "kills the process at rt_sigreturn"),
                               # which the kernel makes a thread call that was stopped in a wait with a time limit
                               ("kill", "restart_syscall", "kills the process at restart_syscall")):
        said = expect(tool, [target, "filter", action, call], verb + ".*asyncdump run")
        check(f"filter {action} {call}: one line", len(said) == 1, said)
    # With `asyncdump run` the agent would call that as well.
    expect(tool, [target, "filter", "kill", "gettid"], r"kills the process at gettid.*asyncdump \d+ works without")
    expect(tool, [target, "filter", "kill", "socket"], None)
    expect(tool, [target, "filter", "log", "openat", "mmap_exec"], None)
    # Of two threads one may load; what the agent calls later it calls on both.
    for call in ("openat", "restart_syscall"):
        expect(tool, [target, "one_thread", "kill", call], None)
    expect(tool, [target, "one_thread", "kill", "gettid"], "kills the process at gettid")


def check_unreadable_filters(tool, target):
    for command in ([target, "filter", "kill", "openat"], [target, "filter", "kill", "socket"],
                    [target, "filter", "kill", "restart_syscall"]):
        said = expect(tool, command, "cannot be read.*CAP_SYS_ADMIN.*--despite-seccomp",
                      case="unreadable " + " ".join(command[1:]), preexec_fn=without_cap_sys_admin)
        check("unreadable: one line", len(said) == 1, said)
    expect(tool, [target, "filter", "kill", "socket"], None, "--despite-seccomp", case="unreadable, despite it",
           preexec_fn=without_cap_sys_admin)
    expect(tool, [target, "filter", "kill", "openat"], "kills the process at openat", "--despite-seccomp",
           case="readable, despite it")


def may_read_filters():
    status = dict(line.split(":\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status["CapEff"], 16) >> CAP_SYS_ADMIN & 1 and status.get("Seccomp", "0") == "0"


def check_states(tool, target):
    expect(tool, [target, "strict"], "strict mode.*asyncdump run", comes_to_rest=False)
    said = expect(tool, [target, "vfork"], "memory of its parent", comes_to_rest=False)
    check("vfork: one line", len(said) == 1, said)
    expect(tool, [target, "descriptors"], "openat failed.*Too many open files.*Nothing was changed")
    expect(tool, [target, "memory"], "mmap failed.*Cannot allocate memory.*Nothing was changed")
    expect(tool, [target, "ended"], None, comes_to_rest=False)
    said = expect(tool, [target, "plain"], None)
    check("the risk is told before", len(said) == 1 and "can hang or fail" in said[0], said)
    with LiveTarget([target, "plain"]) as stopped:
        os.kill(stopped.pid, signal.SIGSTOP)
        os.waitpid(stopped.pid, os.WUNTRACED)
        done = inject(tool, stopped.pid)
        check("stopped: at once, and with advice",
              done.returncode == NOTHING_DONE and f"kill -CONT {stopped.pid}" in done.stderr and
              len(done.stderr.splitlines()) == 1, (done.returncode, done.stderr))
        os.kill(stopped.pid, signal.SIGCONT)
        check("stopped: unharmed", stopped.end_by_itself() is None)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True, help="tests/targets/inject_refused.cpp, built")
    options = parser.parse_args()
    if may_read_filters():
        check_filters(options.tool, options.target)
        check_unreadable_filters(options.tool, options.target)
    else:
        print("skipped: seccomp filters: to read them takes CAP_SYS_ADMIN, and no filter on this test")
    check_states(options.tool, options.target)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
