#!/usr/bin/env python3
"""Starts tests/targets/values.cpp, dumps it, and compares the values of parameters, locals, awaiters and stack frames with
what the target says they are.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from live_target import LiveTarget  # noqa: E402

OPTIMIZED_OUT = "<optimized out>"


def parse(lines):
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind.rstrip("?") in ("value", "none", "stack", "awaits", "field"):
            yield kind.rstrip("?"), kind.endswith("?"), rest


def pattern(text):
    return re.compile(".*".join(re.escape(part) for part in text.split("{}")) if " {}" in text or text.startswith("{}")
                      or "({}" in text else re.escape(text))


def function_called(name, full):
    return re.search(rf"(^|::){name}\(", (full or "").replace(", ", ",")) is not None


class Check:
    def __init__(self, dump, lost):
        self.dump, self.lost, self.wrong, self.compared, self.optimized_out = dump, lost, [], 0, 0

    def coroutine(self, name):
        found = [c for c in self.dump["coroutines"] if function_called(name, c["function"])]
        if len(found) != 1:
            self.wrong.append(f"{len(found)} coroutines {name} instead of one")
        return found[0] if found else None

    def compare(self, what, variables, name, text, may_be_lost):
        found = [v for v in variables if v["name"] == name]
        if len(found) > 1:
            self.wrong.append(f"{what}: {name} is shown {len(found)} times")
        value = found[0]["value"] if found else None
        self.compared += 1
        if value is not None and pattern(text).fullmatch(value):
            return
        if value in (None, OPTIMIZED_OUT) and (self.lost == "all" or may_be_lost and self.lost == "some"):
            self.optimized_out += 1
            return
        self.wrong.append(f"{what}: {name} = {value}, should be {text}")

    def line(self, kind, may_be_lost, rest):
        function, _, rest = rest.partition(" ")
        if kind == "stack":
            frames = [f for t in self.dump["threads"] for f in t["frames"] if function_called(function, f["function"])]
            if not frames:
                return self.wrong.append(f"no stack frame of {function}")
            name, _, text = rest.partition(" ")
            return self.compare(f"stack {function}", frames[0]["variables"], name, text, may_be_lost)
        coroutine = self.coroutine(function)
        if coroutine is None:
            return None
        if kind == "none":
            found = [v for v in coroutine["variables"] if v["name"] == rest]
            if found:
                self.wrong.append(f"{function}: {rest} does not live, and is shown as {found[0]['value']}")
        elif kind == "awaits":
            summary = coroutine["awaiting"]["summary"]
            lost = self.lost == "all" or may_be_lost and self.lost == "some"
            if summary != rest and not (summary is None and lost):
                self.wrong.append(f"{function} waits for {rest}, shown is {coroutine['awaiting']}")
        else:
            name, _, text = rest.partition(" ")
            variables = coroutine["awaiting"]["fields"] if kind == "field" else coroutine["variables"]
            self.compare(f"{kind} {function}", variables, name, text, may_be_lost)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--lost", choices=["none", "some", "all"], default="none",
                        help="which values the compiler may have optimised out: those marked with ?, or all")
    parser.add_argument("--shown", type=int, default=0, help="at least so many have to be shown")
    parser.add_argument("target")
    options = parser.parse_args()
    wrong = []
    for memory in ("0", str(16 << 20)):
        wrong += [f"with {memory} bytes of memory: {sentence}" for sentence in look_at([options.target, memory], options)]
    for sentence in wrong[:60]:
        print("WRONG:", sentence)
    return 1 if wrong else 0


def look_at(target_command, options):
    wrong = []
    with LiveTarget(target_command, {}, (), True) as target:
        command = [options.tool, str(target.pid), "--json", "--locals"]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=120, check=False)
        if done.returncode not in (0, 1):
            wrong.append(f"exit status {done.returncode}")
        else:
            dump = json.loads(done.stdout)
            check = Check(dump, options.lost)
            for line in parse(target.truth_lines):
                check.line(*line)
            wrong += check.wrong
            shown = check.compared - check.optimized_out
            if check.compared < 60 or shown < options.shown:
                wrong.append(f"{check.compared} values compared, {shown} shown")
            print(f"{shown} of {check.compared} values shown as they are, {check.optimized_out} optimised out")
            brief = subprocess.run([options.tool, str(target.pid), "--json"], stdout=subprocess.PIPE, timeout=120,
                                   check=False)
            for before, after in zip(json.loads(brief.stdout)["coroutines"], dump["coroutines"]):
                # What the variables on a stack lead to is copied for --locals alone.
                if before["state"] == "running":
                    continue
                if before["variables"] != after["variables"]:
                    wrong.append(f"{before['function']}: without --locals its variables differ")
            text = subprocess.run([options.tool, str(target.pid), "--locals"], stdout=subprocess.PIPE, timeout=120,
                                  check=False).stdout.decode()
            if "stack_outer" in text and options.lost != "all" and 'on_heap = "a text' not in text:
                wrong.append("--locals does not show a stack frame's variable")
        wrong += target.threads_left_stopped()
        harmed = target.end_by_itself()
        wrong += [harmed] if harmed else []
    return wrong


if __name__ == "__main__":
    sys.exit(main())
