#!/usr/bin/env python3
"""`asyncdump watch` on sick and healthy targets, and the examples of docs/watchdog.md: the shell watchdog is run, the
systemd units' command is run without systemd, the manifest is looked at as text.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402

QUICK = ["--interval", "50ms", "--stuck-after", "300ms"]


def watch(tool, pid, *options):
    return subprocess.run([tool, "watch", str(pid), *QUICK, *options], capture_output=True, text=True, timeout=60)


def check_verdicts(tool, target):
    for scenario in ("guards", "threads", "dropped", "future"):
        with LiveTarget([target, scenario]) as sick:
            done = watch(tool, sick.pid, "--for", "30s")
            check(f"{scenario}: status 3 and the dump", done.returncode == 3 and "FINDINGS: 1 error" in done.stdout,
                  (done.returncode, done.stderr))
        with LiveTarget([target, scenario, "healthy"]) as healthy:
            done = watch(tool, healthy.pid, "--once")
            check(f"{scenario} healthy: status 0 and silence", done.returncode == 0 and not done.stdout,
                  (done.returncode, done.stdout, done.stderr))
    with LiveTarget([target, "guards", "healthy"]) as healthy:
        done = watch(tool, healthy.pid, "--for", "700ms")
        check("its time ends: status 0", done.returncode == 0, (done.returncode, done.stderr))
        watching = subprocess.Popen([tool, "watch", str(healthy.pid), *QUICK], stderr=subprocess.PIPE)
        os.kill(healthy.pid, signal.SIGKILL)
        check("the target goes away: status 2", watching.wait(30) == 2)
        watching.stderr.close()


def check_reports(tool, target):
    with LiveTarget([target, "guards"]) as sick, tempfile.TemporaryDirectory() as folder:
        other = pathlib.Path(folder, "notes.txt")
        other.write_text("mine")
        for _ in range(3):
            watch(tool, sick.pid, "--once", "--dump-to", folder, "--keep", "2")
        names = sorted(path.name for path in pathlib.Path(folder).iterdir())
        check("two dumps are kept, and nothing else is touched", len(names) == 5 and other.read_text() == "mine", names)
        told = pathlib.Path(folder, "told")
        done = watch(tool, sick.pid, "--for", "3s", "--exec", f'echo "$ASYNCDUMP_PID $ASYNCDUMP_FINDINGS" >> {told}')
        text = told.read_text()
        check("--exec: told once, and the watch goes on", done.returncode == 0 and text.count(f"{sick.pid} lock_cycle: ") == 1,
              (done.returncode, text))


def blocks_of(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def check_shell_example(document, tool, target):
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "watchdog.sh")
        script.write_text(blocks_of(document, "sh")[0])
        environment = dict(os.environ, PATH=f"{pathlib.Path(tool).parent}:{os.environ['PATH']}", INTERVAL="50ms",
                           STUCK_AFTER="300ms", DUMPS=folder, RESTARTS="1")
        # A shell gives its background commands no input, and the target ends with its input.
        fifo = pathlib.Path(folder, "input")
        os.mkfifo(fifo)
        keeps_open = os.open(fifo, os.O_RDWR)
        done = subprocess.run(["sh", str(script), "sh", "-c", f'exec "{target}" threads < "{fifo}"'],
                              capture_output=True, text=True, timeout=60, env=environment)
        os.close(keeps_open)
        dumps = list(pathlib.Path(folder).glob("asyncdump-*.json"))
        check("the shell watchdog restarts a stuck server once and tells the verdict",
              done.returncode == 3 and done.stderr.count("is stuck") == 2 and len(dumps) == 2,
              (done.returncode, done.stderr, dumps))


def check_unit_example(document, tool, target):
    service, timer = blocks_of(document, "ini")
    command = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", service, re.MULTILINE).group(1)
    with LiveTarget([target, "guards"]) as sick, tempfile.TemporaryDirectory() as folder:
        stand_in = pathlib.Path(folder, "systemctl")
        stand_in.write_text(f'#!/bin/sh\n[ "$1" = show ] && echo {sick.pid} || echo "$@" >> {folder}/told\n')
        stand_in.chmod(0o755)
        environment = dict(os.environ, PATH=f"{folder}:{pathlib.Path(tool).parent}:{os.environ['PATH']}")
        command = command.replace("--stuck-after 20s", "--stuck-after 300ms --interval 50ms").replace(
            "/var/lib/server/dumps", folder)
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, env=environment)
        told = pathlib.Path(folder, "told")
        check("the unit's command restarts a stuck server",
              done.returncode == 0 and told.exists() and told.read_text() == "restart server.service\n",
              (done.returncode, done.stderr))
    check("the timer repeats", "OnUnitInactiveSec" in timer and "WantedBy=timers.target" in timer)


def check_manifest(document):
    manifest = blocks_of(document, "yaml")[0]
    for part in ("kind: Pod", "shareProcessNamespace: true", "SYS_PTRACE", "livenessProbe", "--check", "sizeLimit"):
        check(f"the manifest has {part}", part in manifest)
    check("the manifest is indented by spaces in pairs",
          all(len(re.match(" *", line).group(0)) % 2 == 0 and "\t" not in line for line in manifest.splitlines()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", required=True, help="the target `findings`")
    parser.add_argument("--document", required=True, help="docs/watchdog.md")
    options = parser.parse_args()
    document = pathlib.Path(options.document).read_text(encoding="utf-8")
    check_verdicts(options.tool, options.target)
    check_reports(options.tool, options.target)
    check_shell_example(document, options.tool, options.target)
    check_unit_example(document, options.tool, options.target)
    check_manifest(document)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
