#!/usr/bin/env python3
"""A target in a pid namespace and a time namespace of its own: its threads have other ids and its clocks other times than
ours. Dumps tell thread ids as we see them, and true ages."""

import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys

SKIPPED = 77
CLOCK_OFFSET_S = 100_000
NAMESPACES = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--time", "--boottime", str(CLOCK_OFFSET_S),
              "--monotonic", str(CLOCK_OFFSET_S)]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--names", required=True, help="tests/targets/agent_names.cpp, built")
    parser.add_argument("--server", help="examples/hung_server, built")
    return parser.parse_args()


class Target:
    """A command in namespaces of its own; `pid` is how we see it."""

    def __init__(self, ready, *command):
        self.unshare = subprocess.Popen([*NAMESPACES, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines = []
        for line in self.unshare.stdout:
            self.lines.append(line.strip())
            if line.startswith(ready):
                break
        self.pid = self.unshare.pid
        while children := pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii"):
            self.pid = int(children.split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unshare.kill()
        self.unshare.wait()


class Checks:
    def __init__(self, tool):
        self.tool, self.wrong = tool, []

    def expect(self, what, is_so, seen):
        if not is_so:
            self.wrong.append(f"{what}: {seen}")

    def dump(self, pid):
        done = subprocess.run([self.tool, str(pid), "--json"], capture_output=True, text=True, check=False, timeout=120)
        self.expect("the dump is complete", done.returncode == 0, (done.returncode, done.stderr))
        return json.loads(done.stdout)

    def check_creation(self, names):
        with Target("READY", self.tool, "run", "--", names) as target:
            own_id = int(next(line.split()[2] for line in target.lines if line.startswith("tid main ")))
            self.expect("the target has another id inside", own_id != target.pid, own_id)
            dump = self.dump(target.pid)
            creations = [coroutine["created"] for coroutine in dump["coroutines"] if coroutine["created"]]
            self.expect("creations are known", len(creations) > 5, creations)
            now = datetime.datetime.now(datetime.timezone.utc)
            for created in creations:
                self.expect("age", 0 <= created["age_ms"] < 60_000, created)
                at = datetime.datetime.fromisoformat(created["at"].replace("Z", "+00:00"))
                self.expect("time of creation", abs((now - at).total_seconds()) < 60, (created["at"], now))
            # The other thread has ended: what its id was outside, nobody knows any more.
            self.expect("creating threads", {created["thread"] for created in creations} == {target.pid, None}, creations)

    def check_injection(self, names):
        with Target("READY", names) as target:
            done = subprocess.run([self.tool, "inject", str(target.pid)], capture_output=True, text=True, check=False, timeout=60)
            self.expect("the agent can be loaded later", done.returncode == 0, done)
            dump = self.dump(target.pid)
            self.expect("its registry is read", "registry" in dump["capture"]["sources"], dump["capture"])

    def check_timers(self, server):
        # The first process of a pid namespace is not ended by SIGTERM, which the server counts on; all others end with it.
        with Target("hung", "sh", "-c", '"$0" & wait', server) as target:
            summaries = [coroutine["awaiting"]["summary"] or "" for coroutine in self.dump(target.pid)["coroutines"] if coroutine["awaiting"]]
            left = [int(match[1]) for match in (re.search(r"steady_timer, (\d+) s left", summary) for summary in summaries) if match]
            self.expect("the time that timers have left", left and max(left) <= 60, summaries)


def main():
    options = arguments()
    try:
        attempt = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True, check=False)
        reason = attempt.stderr.strip() if attempt.returncode != 0 else ""
    except FileNotFoundError:
        reason = "there is no unshare(1)"
    if reason:
        print("skipped: namespaces cannot be made here:", reason)
        return SKIPPED
    checks = Checks(options.tool)
    checks.check_creation(options.names)
    checks.check_injection(options.names)
    if options.server:
        checks.check_timers(options.server)
    else:
        print("not checked, because it was not built: the timers of hung_server")
    for sentence in checks.wrong:
        print("WRONG:", sentence)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
