#!/usr/bin/env python3
"""Do the live tests fail when they should? A right dump, and what each way of being wrong makes them say."""

import copy
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

import dump_check  # noqa: E402
from readable_names import readable  # noqa: E402
from truth_protocol import parse_truth  # noqa: E402

TRUTH = parse_truth(["chain root@10 > leaf@20", "chain root@10 > other@30", "chain ping@1 > pong@2 > ping@1",
                     "count 5", "edges 4", "threads 1", "thread main main", "waits main futex", "absent dead",
                     "doubtful copy"])


def coroutine(identity, function, line, awaits=(), awaited_by=(), task=1, internal=False, state="suspended", apart=False):
    problems = [{"code": "unreferenced", "message": "", "subject": None}] if apart else []
    return {"id": identity, "function": function, "state": state, "task": task, "internal": internal,
            "suspended_at": {"file": "a.cpp", "line": line, "column": None, "exact": True},
            "awaits": list(awaits), "awaited_by": list(awaited_by), "problems": problems}


def right_dump():
    frame = {"pc": "0x1", "function": "main", "coroutine": None}
    return {
        "capture": {"complete": True}, "problems": [],
        "tasks": [{"id": 1, "root": "0x1", "coroutines": 4}, {"id": 2, "root": "0x5", "coroutines": 2}],
        "coroutines": [
            coroutine("0x1", "Task (anonymous namespace)::root(int)", 10, awaits=["0x2", "0x3"]),
            coroutine("0x2", "library::operation()", 99, awaits=["0x4"], awaited_by=["0x1"], internal=True),
            coroutine("0x3", "other(int)", 30, awaited_by=["0x1"]),
            coroutine("0x4", "leaf<int>(int)", 20, awaited_by=["0x2"]),
            coroutine("0x5", "ping()", 1, ["0x6"], ["0x6"], task=2),
            coroutine("0x6", "pong()", 2, ["0x5"], ["0x5"], task=2),
        ],
        "threads": [{"tid": 7, "name": "main", "syscall": "futex", "frames": [frame]},
                    {"tid": 8, "name": "truth-watcher", "syscall": "read", "frames": [frame]}],
    }


def all_checks(dump):
    return (dump_check.check_structure(dump, TRUTH) + dump_check.check_lines(dump, TRUTH) +
            dump_check.check_threads(dump, TRUTH) + dump_check.check_problems(dump, TRUTH, 0) +
            dump_check.check_harmless(json.dumps(dump, ensure_ascii=False).encode()))


def by_id(dump, identity):
    return next(c for c in dump["coroutines"] if c["id"] == identity)


def drop_leaf(dump):
    dump["coroutines"].remove(by_id(dump, "0x4"))
    by_id(dump, "0x2")["awaits"] = []
    dump["tasks"][0]["coroutines"] = 3


def add_edge(dump):
    by_id(dump, "0x3")["awaits"] = ["0x4"]
    by_id(dump, "0x4")["awaited_by"].append("0x3")


def add_phantom(dump):
    dump["coroutines"].append(coroutine("0x9", "dead(int)", 1, task=3))
    dump["tasks"].append({"id": 3, "root": "0x9", "coroutines": 1})


WRONG = {
    "a leaf is missing": drop_leaf,
    "an edge too many": add_edge,
    "a coroutine that is dead": add_phantom,
    "an edge in one direction only": lambda d: by_id(d, "0x3")["awaited_by"].clear(),
    "a coroutine twice": lambda d: d["coroutines"].append(copy.deepcopy(by_id(d, "0x3"))),
    "a state that is wrong": lambda d: by_id(d, "0x4").update(state="done"),
    "a function that is wrong": lambda d: by_id(d, "0x4").update(function="elsewhere()"),
    "in no task": lambda d: by_id(d, "0x3").update(task=None),
    "apart, though it is referenced": lambda d: by_id(d, "0x5").update(
        problems=[{"code": "unreferenced", "message": "", "subject": None}]),
    "a task that counts wrongly": lambda d: d["tasks"][1].update(coroutines=3),
    "a root that is awaited": lambda d: d["tasks"][0].update(root="0x3"),
    "a line that is wrong": lambda d: by_id(d, "0x4")["suspended_at"].update(line=21),
    "a line that is only near": lambda d: by_id(d, "0x4")["suspended_at"].update(exact=False),
    "no line": lambda d: by_id(d, "0x4").update(suspended_at=None),
    "a thread is missing": lambda d: d["threads"].pop(0),
    "a thread without a stack": lambda d: d["threads"][0]["frames"].clear(),
    "another system call": lambda d: d["threads"][0].update(syscall="read"),
    "an override of the direction": lambda d: d["capture"].update(note="\u202e"),
    "incomplete": lambda d: d["capture"].update(complete=False),
}

NAMES = {
    "(anonymous namespace)::f()::{lambda(int)#1}::operator()(int) const": "f::lambda::operator()",
    "(anonymous namespace)::f()::$_0::operator()(int) const": "f::lambda::operator()",
    "tasks::Owner<tasks::Plain> look_up<long, 8>(long)": "look_up<long, 8>",
    "Server::operator()(int)": "Server::operator()",
    "find_user(std::function<int (int)>)": "find_user",
}


def main():
    failures = 0
    said = all_checks(right_dump())
    if said:
        failures += 1
        print("WRONG: a right dump is refused:", *said, sep="\n  ")
    for case, break_it in WRONG.items():
        dump = right_dump()
        break_it(dump)
        said = all_checks(dump)
        failures += not said
        print(f"{'WRONG: not noticed: ' if not said else ''}{case}: {said[:1]}")
    for name, expected in NAMES.items():
        if readable(name)[0] != expected:
            failures += 1
            print(f"WRONG: {name} is read as {readable(name)[0]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
