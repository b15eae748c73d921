#!/usr/bin/env python3
"""Looks at a target whose threads are in every kind of wait, again and again, is killed while it does, and injects the
agent: no wait of the target may end otherwise than by itself.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import random
import select
import signal
import subprocess
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True, help="tests/targets/timed_waits.cpp, built")
    parser.add_argument("--targets", type=int, default=4, help="how many are looked at, one after the other")
    parser.add_argument("--times", type=int, default=10, help="how often each is, and how often we are killed")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def run(command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60, check=False)


def look(options, choose, number):
    """-> sentences about what is wrong"""
    target = subprocess.Popen([options.target], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if not select.select([target.stdout], [], [], 30)[0] or target.stdout.readline() != b"READY\n":
            return ["the target does not begin"]
        wrong = []
        pid, looks = str(target.pid), ([], ["--exact"], ["--check"])
        for time_number in range(options.times):
            done = run([options.tool, pid, *looks[time_number % len(looks)]])
            if done.returncode != 0:
                wrong.append(f"asyncdump ended with {done.returncode}: {done.stderr.decode()}")
        for time_number in range(options.times):
            # The last ones while the agent is being injected.
            begin = [options.tool, "inject", pid] if time_number >= options.times - 2 else [options.tool, pid]
            killed = subprocess.Popen(begin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(choose.uniform(0, 0.1))
            killed.send_signal(signal.SIGKILL)
            killed.wait()
        if number % 2 == 0:
            done = run([options.tool, "inject", pid])
            if done.returncode != 0:
                wrong.append(f"asyncdump inject ended with {done.returncode}: {done.stderr.decode()}")
        if target.poll() is not None:
            return wrong + [f"the target ended with {target.returncode}"]
        said, _ = target.communicate(timeout=30)
        if target.returncode != 0 or said != b"END\n":
            wrong.append(f"the target ended with {target.returncode}: {said.decode()[:1000]}")
        return wrong
    finally:
        target.kill()
        target.wait()


def main():
    options = arguments()
    choose = random.Random(options.seed)
    wrong = [sentence for number in range(options.targets) for sentence in look(options, choose, number)]
    print(f"{options.targets} targets, each looked at {options.times} times and left by a kill {options.times} times")
    for sentence in wrong:
        print("WRONG:", sentence)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
