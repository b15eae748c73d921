"""Compares what only the agent can tell with a target's truth."""

import json
import subprocess
from collections import Counter

from readable_names import NameTable


def check_creation(dump, truth):
    wrong = []
    if "registry" not in dump["capture"]["sources"]:
        wrong.append(f"looked for coroutines in {dump['capture']['sources']} only")
    names = NameTable({function for function, _, creator, _ in truth.created} | {created[2] for created in truth.created})
    found = Counter()
    for coroutine in dump["coroutines"]:
        created = coroutine["created"]
        if created is None:
            continue
        if not 0 <= created["age_ms"] < 600_000:
            wrong.append(f"{coroutine['function']} is {created['age_ms']} ms old")
        if created["stack"]:
            # The innermost call is the creator's: neither the coroutine function's own nor how it allocates.
            frame = created["stack"][0]
            found[(names.of(coroutine["function"]), created["thread"], names.of(frame["function"]), frame["line"])] += 1
    for function, thread, creator, line in truth.created:
        if found[(function, truth.tids[thread], creator, line)] < 1:
            seen = [key for key in found if key[0] == function]
            wrong.append(f"{function} was not created by thread {truth.tids[thread]} ({thread}) in {creator} at line {line}: {seen}")
    if truth.names:
        told = {task["name"] for task in dump["tasks"]} - {None}
        if not truth.names <= told:
            wrong.append(f"the names {truth.names - told} are not among those of the tasks: {told}")
    labels = {coroutine["label"] for coroutine in dump["coroutines"]}
    if not truth.labels <= labels:
        wrong.append(f"the labels {truth.labels - labels} are missing: {labels}")
    return wrong


def check_filters(tool, pid, truth):
    """--under and --created-by leave what the target says."""
    wrong = []
    for option, argument, functions in truth.filters:
        done = subprocess.run([tool, str(pid), "--json", option, argument], stdout=subprocess.PIPE, timeout=120, check=False)
        dump = json.loads(done.stdout.decode("utf-8"))
        names = NameTable(set(functions))
        left = sorted(names.of(coroutine["function"]) for coroutine in dump["coroutines"])
        if left != sorted(functions):
            wrong.append(f"{option} {argument!r} leaves {left} instead of {sorted(functions)}")
    return wrong
