#!/usr/bin/env python3
"""Starts a target, dumps it with asyncdump, and compares the dump with what the target said about itself.

Exit status: 0 as it should be, 1 not, 77 skipped (with the reason). On failure the work folder stays, with the truth,
the dump and the command that repeats the test.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

import creation_check  # noqa: E402
import dump_check  # noqa: E402
from live_target import LiveTarget, TargetError  # noqa: E402
from truth_protocol import parse_truth  # noqa: E402

SKIPPED = 77


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="the asyncdump executable")
    parser.add_argument("--lines", choices=["exact", "told", "true"],
                        help="compare the line of each co_await as well: it has to be exact, may be told to be near, "
                             "or only must not be told to be exact when it is wrong")
    parser.add_argument("--found-by", help="the sources of each coroutine: registry, or registry,scan")
    parser.add_argument("--agent", action="store_true",
                        help="start the target by `asyncdump run`: it has to be found by the registry, without a scan")
    parser.add_argument("--text", action="store_true", help="look at the text report as well")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for the target")
    parser.add_argument("--executable", choices=["deleted", "replaced", "stripped", "stripped_with_debug_file"],
                        help="what happens to a copy of the target before or after its start")
    parser.add_argument("--namespace", action="store_true",
                        help="start a copy of the target in mount and pid namespaces of its own, where alone it is found")
    parser.add_argument("--expect-problem", metavar="CODE", help="the dump has to say this")
    parser.add_argument("--option", action="append", default=[], help="a further option for asyncdump")
    parser.add_argument("--dumps", type=int, default=1, help="how many dumps to take, one after the other")
    parser.add_argument("--restless", action="store_true", help="the target never blocks: dump it as it is")
    parser.add_argument("--keep", action="store_true", help="keep the work folder even when all is well")
    parser.add_argument("target", nargs="+", help="the target and its arguments")
    return parser.parse_args()


def validate(dump_file):
    done = subprocess.run([sys.executable, TESTS / "support" / "validate_schema.py", dump_file], capture_output=True,
                          text=True, check=False)
    if done.returncode == SKIPPED:
        print(done.stderr.strip())
        return []
    return [] if done.returncode == 0 else [f"not as docs/dump.schema.json says: {done.stdout}{done.stderr}".strip()]


def prepare_copy(options, work):
    """-> the copy of the target that is to be started, and what to do once it runs"""
    original = options.target[0]
    copy = work / pathlib.Path(original).name
    shutil.copy2(original, copy)
    after_start = lambda: None  # noqa: E731
    if options.executable == "deleted":
        after_start = copy.unlink
    elif options.executable == "replaced":
        def after_start():
            copy.unlink()
            shutil.copy2(shutil.which("sleep"), copy)
    elif options.executable == "stripped":
        subprocess.run(["strip", "--strip-all", copy], check=True)
    elif options.executable == "stripped_with_debug_file":
        (work / ".debug").mkdir()
        debug_file = work / ".debug" / (copy.name + ".debug")
        subprocess.run(["objcopy", "--only-keep-debug", copy, debug_file], check=True)
        subprocess.run(["strip", "--strip-all", copy], check=True)
        subprocess.run(["objcopy", f"--add-gnu-debuglink={debug_file}", copy], check=True)
    options.target[0] = str(copy)
    return after_start


def namespace_wrapper(options, work):
    """-> a command that runs the target from a file system that is mounted for it alone, or None"""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
    hidden = work / "hidden"
    hidden.mkdir()
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", hidden], capture_output=True, check=False).returncode:
        return None
    inside = hidden / "target"
    script = (f"mount -t tmpfs none {shlex.quote(str(hidden))} && "
              f"cp {shlex.quote(options.target[0])} {shlex.quote(str(inside))} && shift && "
              f"exec {shlex.quote(str(inside))} \"$@\"")
    return [*unshare, "sh", "-c", script, "sh"]


def run_tool(options, target, work):
    dump_file = work / "dump.json"
    command = [options.tool, str(target.pid), "--json", *options.option]
    with open(dump_file, "wb") as output, open(work / "stderr.txt", "wb") as errors:
        status = subprocess.run(command, stdout=output, stderr=errors, timeout=120, check=False).returncode
    said = (work / "stderr.txt").read_text(errors="replace")
    if status not in (0, 1):
        return [f"`{shlex.join(command)}` ended with status {status}: {said.strip()}"]
    try:
        dump = json.loads(dump_file.read_bytes().decode("utf-8"))
    except ValueError as error:
        return [f"its output is not JSON: {error}"]
    wrong = validate(dump_file)
    if wrong:
        return wrong
    truth = parse_truth(target.truth_lines)
    if options.found_by:
        expected = options.found_by.split(",")
        seen = [dump["capture"]["sources"], *(coroutine["found_by"] for coroutine in dump["coroutines"])]
        wrong += [f"found by {sources} instead of {expected}" for sources in seen if sources != expected]
    if options.expect_problem:
        truth.problems.add(options.expect_problem)
    if options.executable == "stripped":
        return check_stripped(dump, status, options.target[0])
    wrong += dump_check.check_problems(dump, truth, status)
    wrong += dump_check.check_structure(dump, truth)
    wrong += dump_check.check_threads(dump, truth)
    wrong += dump_check.check_summaries(dump, truth)
    wrong += dump_check.check_harmless(dump_file.read_bytes())
    if options.agent:
        wrong += creation_check.check_creation(dump, truth)
        wrong += creation_check.check_filters(options.tool, target.pid, truth)
    if options.lines:
        if options.lines == "exact":
            wrong += dump_check.check_declarations(dump)
        wrong += dump_check.check_lines(dump, truth, near_is_wrong=options.lines == "exact",
                                        none_is_wrong=options.lines != "true")
    if options.text:
        printed = subprocess.run([options.tool, str(target.pid), *options.option], stdout=subprocess.PIPE, timeout=120,
                                 check=False).stdout
        (work / "dump.txt").write_bytes(printed)
        wrong += dump_check.check_text(printed, truth)
    return wrong


def check_stripped(dump, status, executable):
    """Without symbols no coroutine can be known: the dump has the threads, and says what it lacks and of which file."""
    wrong = []
    if status != 1 or dump["capture"]["complete"]:
        wrong.append(f"exit status {status}, complete {dump['capture']['complete']}: a coroutine may be hidden")
    name = os.path.basename(executable)
    if not any(name in (problem["subject"] or "") + problem["message"] for problem in dump["problems"]):
        wrong.append(f"no problem names {name}: {dump['problems']}")
    if len(dump["threads"]) < 2 or not all(thread["frames"] for thread in dump["threads"]):
        wrong.append("a thread's stack is missing")
    return wrong


def main():
    options = arguments()
    work = pathlib.Path(tempfile.mkdtemp(prefix="asyncdump-live-"))
    wrong, wrapper, after_start = [], (), lambda: None
    try:
        if options.executable:
            after_start = prepare_copy(options, work)
        if options.namespace:
            wrapper = namespace_wrapper(options, work)
            if wrapper is None:
                print("skipped: not permitted to create mount and pid namespaces here")
                shutil.rmtree(work)
                return SKIPPED
        environment = dict(pair.split("=", 1) for pair in options.env)
        if options.agent:
            wrapper = (*wrapper, options.tool, "run", "--")
        with LiveTarget(options.target, environment, wrapper, not options.restless) as target:
            after_start()
            (work / "truth.txt").write_text("\n".join(target.truth_lines) + "\n")
            for _ in range(options.dumps):
                wrong = run_tool(options, target, work) + target.threads_left_stopped()
                if wrong:
                    break
            harmed = target.end_by_itself()
            wrong += [harmed] if harmed else []
    except TargetError as error:
        wrong = [f"the target {error}"]
    if not wrong:
        if not options.keep:
            shutil.rmtree(work)
        print("as the target says")
        return 0
    for sentence in wrong[:40]:
        print("WRONG:", sentence)
    if len(wrong) > 40:
        print(f"... and {len(wrong) - 40} more")
    print("kept:  ", work)
    print("repeat:", shlex.join([sys.executable, os.path.abspath(__file__), *sys.argv[1:]]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
