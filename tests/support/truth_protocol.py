"""What a target said about itself (see tests/targets/truth.h), parsed."""

import os
import pathlib
import re
from dataclasses import dataclass, field

STATES = {"suspended", "created", "done", "running", "unknown"}
_MARK = re.compile(r"//\s*@(\w+)\s*$")
_ELEMENT = re.compile(r"^(?P<name>.+?)(?:@(?P<mark>[\w-]+))?(?: x (?P<times>\d+))?(?: \[(?P<state>\w+)\])?$")


@dataclass(frozen=True)
class Element:
    """One coroutine of a chain. `line` is None where the truth does not tell."""
    name: str
    state: str
    line: "int | None"


@dataclass
class Truth:
    chains: list = field(default_factory=list)       # tuples of Element, root first
    count: "int | None" = None
    edges: "int | None" = None
    threads: "int | None" = None
    thread_functions: list = field(default_factory=list)  # (thread's name, function)
    doubtful: set = field(default_factory=set)
    passing: set = field(default_factory=set)
    absent: set = field(default_factory=set)
    problems: set = field(default_factory=set)       # codes that have to be among the dump's problems
    waits: list = field(default_factory=list)        # (thread's name, system call)
    summaries: list = field(default_factory=list)    # regular expressions: what one coroutine each waits for
    created: list = field(default_factory=list)      # (function, creating thread's name, creating function, line)
    tids: dict = field(default_factory=dict)         # of threads by their names, also of those that have ended
    names: set = field(default_factory=set)          # that tasks were given
    labels: set = field(default_factory=set)
    filters: list = field(default_factory=list)      # (option, its argument, functions of what is left)
    depths: list = field(default_factory=list)       # (thread's name, least number of frames)


def marks_of(path):
    """A path that a compiler's cache made relative is looked for below the project's root."""
    marks = {}
    if not os.path.isabs(path):
        path = pathlib.Path(__file__).parents[2].joinpath(*(part for part in pathlib.Path(path).parts if part != ".."))
    with open(path, encoding="utf-8") as source:
        for number, text in enumerate(source, 1):
            found = _MARK.search(text)
            if found:
                if found.group(1) in marks:
                    raise ValueError(f"{path}: the mark @{found.group(1)} stands twice")
                marks[found.group(1)] = number
    return marks


def _parse_chain(text, marks):
    chain = []
    for part in text.split(" > "):
        match = _ELEMENT.match(part)
        state = match["state"] or "suspended"
        if state not in STATES:
            raise ValueError(f"unknown state in the truth: {part!r}")
        mark = match["mark"]
        if mark is None or mark == "-":
            line = None
        elif mark.isdigit():
            line = int(mark)
        else:
            line = marks[mark]
        chain += [Element(match["name"], state, line)] * int(match["times"] or 1)
    return tuple(chain)


def parse_truth(lines):
    truth, marks = Truth(), {}
    for line in lines:
        keyword, _, rest = line.partition(" ")
        if keyword == "source":
            marks.update(marks_of(rest))
        elif keyword == "chain":
            truth.chains.append(_parse_chain(rest, marks))
        elif keyword == "chains":
            times, _, chain = rest.partition(" ")
            truth.chains += [_parse_chain(chain, marks)] * int(times)
        elif keyword in ("count", "edges", "threads"):
            setattr(truth, keyword, int(rest))
        elif keyword == "thread":
            truth.thread_functions.append(tuple(rest.split(" ", 1)))
        elif keyword == "waits":
            truth.waits.append(tuple(rest.split(" ", 1)))
        elif keyword == "summary":
            truth.summaries.append(rest)
        elif keyword == "depth":
            name, frames = rest.split(" ")
            truth.depths.append((name, int(frames)))
        elif keyword == "tid":
            name, tid = rest.split(" ")
            truth.tids[name] = int(tid)
        elif keyword == "created":
            function, thread, place = rest.split(" ")
            creator, mark = place.split("@")
            truth.created.append((function, thread, creator, marks[mark]))
        elif keyword == "name":
            truth.names.add(rest)
        elif keyword == "label":
            truth.labels.add(rest)
        elif keyword in ("under", "created_by"):
            argument, functions = rest.split(": ")
            truth.filters.append(("--" + keyword.replace("_", "-"), argument, functions.split(" ")))
        elif keyword == "doubtful":
            truth.doubtful.add(rest)
        elif keyword == "absent":
            truth.absent.add(rest)
        elif keyword == "passing":
            truth.passing.add(rest)
        elif keyword == "problem":
            truth.problems.add(rest)
        else:
            raise ValueError(f"the target said something that is no truth: {line!r}")
    return truth
