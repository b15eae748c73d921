#!/usr/bin/env python3
"""Each scenario of the target `findings`, sick and healthy: `--check` finds the errors that it says it has, and no other.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from live_target import LiveTarget  # noqa: E402

EXIT_FINDING = 3


def check(tool, command):
    """-> sentences about what is wrong"""
    with LiveTarget(command) as target:
        expected = sorted(line.split(" ", 1)[1] for line in target.truth_lines if line.startswith("finding "))
        done = subprocess.run([tool, str(target.pid), "--check", "--json"], capture_output=True, timeout=60)
        text = subprocess.run([tool, str(target.pid)], capture_output=True, timeout=60).stdout.decode()
        wrong = target.threads_left_stopped()
        harmed = target.end_by_itself()
    if harmed:
        wrong.append(harmed)
    with tempfile.NamedTemporaryFile() as file:
        file.write(done.stdout)
        file.flush()
        valid = subprocess.run([sys.executable, TESTS / "support" / "validate_schema.py", file.name], capture_output=True)
        if valid.returncode not in (0, 77):
            wrong.append(f"not valid: {valid.stderr.decode()[:500]}")
    findings = json.loads(done.stdout)["findings"]
    errors = [finding for finding in findings if finding["severity"] == "error"]
    if sorted(finding["kind"] for finding in errors) != expected:
        wrong.append(f"errors {[(f['kind'], f['summary']) for f in errors]} instead of {expected}")
    for finding in errors:
        if not finding["evidence"]:
            wrong.append(f"no evidence for {finding['kind']}")
        if not finding["coroutines"] and not finding["threads"]:
            wrong.append(f"no members of {finding['kind']}")
    if (done.returncode == EXIT_FINDING) != bool(expected):
        wrong.append(f"exit status {done.returncode}")
    if expected and not 0 < text.find("FINDINGS") < text.find("TASKS"):
        wrong.append("the verdict does not stand above the trees")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("scenarios", nargs="+", help="NAME, or NAME:healthy")
    options = parser.parse_args()
    failed = False
    for scenario in options.scenarios:
        wrong = check(options.tool, [options.target, *scenario.split(":")])
        failed = failed or bool(wrong)
        print(f"{'WRONG' if wrong else 'ok'}: {scenario} {'; '.join(wrong)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
