#!/usr/bin/env python3
"""What a user says of his own library in a configuration file, seen in dumps of a target."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402
from readable_names import readable  # noqa: E402

GOOD = """
[functions]
internal = ["lib::detail::*"]

[promise]
continuation = ["lib::Job::promise_type::owner"]

[[wait]]
type = "lib::Thing"
kind = "lock"
summary = "the thing"
"""


def run(tool, pid, folder, home, *options):
    environment = {name: value for name, value in os.environ.items() if name != "XDG_CONFIG_HOME"}
    environment["HOME"] = str(home)
    return subprocess.run([tool, str(pid), "--json", *options], cwd=folder, env=environment, capture_output=True,
                          timeout=60, check=False, text=True)


def by_function(done):
    return {readable(c["function"])[1]: c for c in json.loads(done.stdout)["coroutines"]}


def is_taught(coroutines):
    worker, owner, helper = (coroutines[name] for name in ("worker", "owner", "lib::detail::helper"))
    return (helper["internal"] and not worker["internal"] and owner["awaits"] == [worker["id"]] and
            [worker["awaiting"][name] for name in ("kind", "type", "summary")] == ["lock", "lib::Thing", "the thing"])


def check_all(tool, target, folder):
    home = folder / "home"
    (home / ".config" / "asyncdump").mkdir(parents=True)
    project = folder / "project"
    project.mkdir()

    plain = by_function(run(tool, target.pid, project, home))
    check("nothing is known without a file", not any(c["internal"] or c["awaits"] for c in plain.values()), plain)
    check("unknown stays unknown", plain["worker"]["awaiting"]["kind"] == "unknown", plain["worker"])

    named = folder / "named.toml"
    named.write_text(GOOD)
    check("--config", is_taught(by_function(run(tool, target.pid, project, home, "--config", str(named)))))
    (project / "asyncdump.toml").write_text(GOOD)
    check("asyncdump.toml of the current folder", is_taught(by_function(run(tool, target.pid, project, home))))
    os.rename(project / "asyncdump.toml", home / ".config" / "asyncdump" / "asyncdump.toml")
    check("the home folder's", is_taught(by_function(run(tool, target.pid, project, home))))

    (project / "asyncdump.toml").write_text("[[wait]]\ntype = \"lib::Thing\"\nsummary = \"mine\"\n")
    both = by_function(run(tool, target.pid, project, home))
    check("the project goes before the home folder", both["worker"]["awaiting"]["summary"] == "mine", both["worker"])

    (project / "asyncdump.toml").write_text("[functions]\ninternal = 3\n")
    done = run(tool, target.pid, project, home)
    check("a mistake in a file is told with its line", "asyncdump.toml:2: 'internal' has to be" in done.stderr, done.stderr)
    check("and does not stand in the way", done.returncode == 0 and is_taught(by_function(done)), done.returncode)

    named.write_text("[[wait]]\nkind = \"mutex\"\n")
    done = run(tool, target.pid, project, home, "--config", str(named))
    check("a mistake in a file that was named is an error", done.returncode == 64 and "kind 'mutex' is unknown" in done.stderr,
          done.stderr)
    done = run(tool, target.pid, project, home, "--config", str(folder / "none.toml"))
    check("a named file that is not there is an error", done.returncode == 64 and "none.toml" in done.stderr, done.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("target")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asyncdump-live-") as folder, LiveTarget([options.target]) as target:
        check_all(os.path.abspath(options.tool), target, pathlib.Path(folder))
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
