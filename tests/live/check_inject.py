#!/usr/bin/env python3
"""Injects the agent into a busy target again and again: the target's work stays right, the agent records, and the
injector may be killed at any moment.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import json
import random
import re
import select
import signal
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True, help="tests/targets/inject_busy.cpp, built")
    parser.add_argument("--injections", type=int, default=50)
    parser.add_argument("--kills", type=int, default=25, help="injectors that are killed at a random moment")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


class Busy:
    def __init__(self, target, kind):
        self.process = subprocess.Popen([target, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._line()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _line(self):
        if not select.select([self.process.stdout], [], [], 30)[0]:
            raise RuntimeError("the target says nothing")
        return self.process.stdout.readline().decode()

    def end(self, interruptions_allowed=0):
        """-> what is wrong, or None. Its work goes on for a moment first, now with the agent."""
        time.sleep(0.02)
        if self.process.poll() is not None:
            return f"the target died with status {self.process.returncode}: {self.process.stdout.read().decode()}"
        self.process.stdin.close()
        self.process.stdin = open("/dev/null", "rb")
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            return "the target hangs"
        said = self.process.stdout.read().decode()
        result = re.fullmatch(r"rounds \d+, epoll_wait interrupted (\d+) times\n", said)
        if status != 0 or not result or int(result[1]) > interruptions_allowed:
            return f"the target ended with {status}: {said}"
        self.interruptions = int(result[1])
        return None


def inject(tool, pid):
    return subprocess.run([tool, "inject", str(pid)], capture_output=True, timeout=60, check=False)


def check_injection(options, number):
    kind = ("all", "busy", "sleeping")[number % 3]
    with Busy(options.target, kind) as busy:
        done = inject(options.tool, busy.process.pid)
        if done.returncode != 0:
            said = f"inject ended with {done.returncode}: {done.stderr.decode()}"
            harm = busy.end()
            if harm:
                return f"{harm}; {said}", "refused"
            return None if "Nothing was changed" in said else said, "refused"
        again = inject(options.tool, busy.process.pid)
        if again.returncode != 0 or b"already" not in again.stdout:
            return f"a second injection is not told to be one: {again.stdout} {again.stderr}", "loaded"
        if number < 9:
            dump = subprocess.run([options.tool, str(busy.process.pid), "--json"], stdout=subprocess.PIPE, check=False)
            dump = json.loads(dump.stdout)
            kept = [c for c in dump["coroutines"] if c["function"].endswith("stays(unsigned long*)")]
            if dump["capture"]["sources"] != ["registry", "scan"]:
                return f"after the injection sources are {dump['capture']['sources']}", "loaded"
            if len(kept) != 20 or not all("registry" in c["found_by"] for c in kept):
                return f"{len(kept)} coroutines 'stays' instead of 20: {[c['found_by'] for c in kept]}", "loaded"
        return busy.end(), "loaded"


def check_kill(options, number, choose):
    with Busy(options.target, ("all", "busy", "sleeping")[number % 3]) as busy:
        injector = subprocess.Popen([options.tool, "inject", str(busy.process.pid)], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        time.sleep(choose.uniform(0, options.duration))
        injector.send_signal(signal.SIGKILL)
        injector.wait()
        # By the kernel a stop ends epoll_wait with EINTR, as SIGSTOP and SIGCONT do (signal(7)); the injector
        # makes it go on, but only the moment after it has seen the stop.
        return busy.end(interruptions_allowed=1)


def main():
    options = arguments()
    choose = random.Random(options.seed)
    wrong, outcomes = [], {"loaded": 0, "refused": 0}
    durations = []
    for number in range(options.injections):
        begin = time.monotonic()
        said, outcome = check_injection(options, number)
        durations.append(time.monotonic() - begin)
        outcomes[outcome] += 1
        if said:
            wrong.append(f"injection {number}: {said}")
    options.duration = min(1.0, max(0.05, sorted(durations)[len(durations) // 2])) if durations else 0.5
    for number in range(options.kills):
        said = check_kill(options, number, choose)
        if said:
            wrong.append(f"kill {number}: {said}")
    print(f"{outcomes['loaded']} loaded, {outcomes['refused']} refused cleanly, {options.kills} killed")
    for sentence in wrong[:20]:
        print("WRONG:", sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
