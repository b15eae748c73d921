#!/usr/bin/env python3
"""The options that narrow and dress the output, on a real target each."""

import argparse
import contextlib
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402
from readable_names import readable  # noqa: E402

ESCAPE = "\x1b["


class Tool:
    def __init__(self, path, pid):
        self._command = [path, str(pid)]

    def text(self, *options, environment=None):
        done = subprocess.run([*self._command, *options], capture_output=True, timeout=60, check=True,
                              env=dict(os.environ, **(environment or {})))
        return done.stdout.decode("utf-8")

    def dump(self, *options):
        return json.loads(self.text("--json", *options))

    def text_on_terminal(self, *options, environment=None):
        controller, terminal = pty.openpty()
        variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        variables.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "COLUMNS": "100"}, **(environment or {}))
        process = subprocess.Popen([*self._command, *options], stdout=terminal, stderr=subprocess.DEVNULL, env=variables)
        os.close(terminal)
        output = b""
        with contextlib.suppress(OSError):  # EIO when the last writer is gone
            while piece := os.read(controller, 1 << 16):
                output += piece
        os.close(controller)
        process.wait()
        return output.decode("utf-8")


def functions(dump):
    return sorted(readable(coroutine["function"])[1] for coroutine in dump["coroutines"])


def check_filters(tool):
    everything = tool.dump()
    check("without options there is everything", len(everything["coroutines"]) == 11, functions(everything))
    # A filter matches any coroutine of a tree, and shows the whole tree.
    for option in ("--task", "--function"):
        found = functions(tool.dump(option, "greet"))
        check(f"{option} greet", found == ["Server::accept_one", "Server::greet"], found)
        found = functions(tool.dump(option, "^no such function$"))
        check(f"{option} that matches nothing", found == [], found)
    text = tool.text("--function", "greet")
    check("--function in the text", "greet" in text and "accept_one" in text and "look_up" not in text, text)

    check("--no-threads", tool.dump("--no-threads")["threads"] == [])
    check("--no-threads keeps the tasks", functions(tool.dump("--no-threads")) == functions(everything))
    without_tasks = tool.dump("--no-tasks")
    check("--no-tasks", without_tasks["tasks"] == [] and without_tasks["coroutines"] == [], without_tasks["tasks"])
    check("--no-tasks keeps the threads", len(without_tasks["threads"]) == len(everything["threads"]))
    tids = [thread["tid"] for thread in everything["threads"]]
    shown = [thread["tid"] for thread in tool.dump("--thread", str(tids[-1]))["threads"]]
    check("--thread", shown == [tids[-1]], shown)

    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "dump.json"
        printed = tool.text("--json", "-o", str(file))
        check("-o writes to the file", printed == "" and functions(json.loads(file.read_text())) == functions(everything))


def check_dress(tool):
    text = tool.text()
    check("no colours in a pipe", ESCAPE not in text, text)
    check("--color always", ESCAPE in tool.text("--color", "always"))
    check("--ascii", tool.text("--ascii").isascii())
    check("colours on a terminal", ESCAPE in tool.text_on_terminal())
    check("no colours on a terminal with NO_COLOR", ESCAPE not in tool.text_on_terminal(environment={"NO_COLOR": "1"}))
    check("--color never on a terminal", ESCAPE not in tool.text_on_terminal("--color", "never"))
    check("no Unicode on a terminal without it", tool.text_on_terminal(environment={"LC_ALL": "C"}).isascii())


def check_groups(tool):
    grouped, every = tool.text("--no-threads"), tool.text("--no-threads", "--all")
    check("equal trees are shown once, with their number", grouped.count("leaf") == 1 and "1000" in grouped.replace(",", ""),
          grouped)
    check("--all shows each tree", every.count("leaf") == 1000, every.count("leaf"))


def check_internal(tool):
    folded, unfolded = tool.text("--no-threads"), tool.text("--no-threads", "--internal")
    check("a library's coroutines are folded", "co_spawn_entry_point" not in folded, folded)
    check("--internal shows them", "co_spawn_entry_point" in unfolded, unfolded)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--shapes", required=True, help="the target task_shapes")
    parser.add_argument("--asio", required=True, help="the target asio_server")
    options = parser.parse_args()
    with LiveTarget([options.shapes, "kinds"]) as target:
        tool = Tool(options.tool, target.pid)
        check_filters(tool)
        check_dress(tool)
    with LiveTarget([options.shapes, "many"]) as target:
        check_groups(Tool(options.tool, target.pid))
    with LiveTarget([options.asio, "sessions"]) as target:
        check_internal(Tool(options.tool, target.pid))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
