#!/usr/bin/env python3
"""Each scenario of the target `nested`: exactly those coroutines are found on each stack that are executed there, in order.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import json
import pathlib
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from live_target import LiveTarget  # noqa: E402

SCENARIOS = ("resumed", "transferred", "merged", "started", "destroyed", "caught", "suspending")


def check(tool, command):
    """-> sentences about what is wrong"""
    with LiveTarget(command) as target:
        executed = [line.split()[1:] for line in target.truth_lines if line.startswith("executes ")]
        lingering = [word for line in target.truth_lines if line.startswith("lingers ") for word in line.split()[1:]]
        may_await = {line.split()[2] for line in target.truth_lines if line.startswith("may await ")}
        done = subprocess.run([tool, str(target.pid), "--json"], capture_output=True, timeout=60)
        wrong = target.threads_left_stopped()
        harmed = target.end_by_itself()
    if harmed:
        wrong.append(harmed)
    dump = json.loads(done.stdout)
    states = {coroutine["id"]: (coroutine["state"], coroutine["thread"]) for coroutine in dump["coroutines"]}
    for name, *frames in executed:
        threads = [thread for thread in dump["threads"] if thread["name"] == name]
        if len(threads) != 1:
            wrong.append(f"{len(threads)} threads {name}")
            continue
        found = [frame["coroutine"] for frame in threads[0]["frames"] if frame["coroutine"] is not None]
        # Without tail calls one that has handed over to another by symmetric transfer stays on the stack.
        told = [frame for frame in found if frame not in lingering]
        if told != frames:
            wrong.append(f"{name} executes {told} instead of {frames}")
        for frame in frames:
            state = states.get(frame)
            if state != ("running", threads[0]["tid"]) and not (frame in may_await and state == ("suspended", None)):
                wrong.append(f"{frame} is {state}")
    running = {frame for frame, (state, _) in states.items() if state == "running"}
    others = running - {frame for _, *frames in executed for frame in frames}
    if others:
        wrong.append(f"running are also {sorted(others)}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("targets", nargs="+")
    options = parser.parse_args()
    failed = False
    for target in options.targets:
        for scenario in SCENARIOS:
            wrong = check(options.tool, [target, scenario])
            failed = failed or bool(wrong)
            print(f"{'WRONG' if wrong else 'ok'}: {scenario} {'; '.join(wrong)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
