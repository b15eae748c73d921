#!/usr/bin/env python3
"""`asyncdump watch` on sick and healthy targets, and the examples of docs/watchdog.md: the shell watchdog is run, the
systemd units' command is run without systemd, the manifest is looked at as text.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402

QUICK = ["--interval", "50ms", "--stuck-after", "300ms"]


def watch(tool, pid, *options, **how):
    return subprocess.run([tool, "watch", str(pid), *QUICK, *options], capture_output=True, text=True, timeout=60, **how)


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
        command = f'echo "$ASYNCDUMP_PID ${{ASYNCDUMP_DUMP-unset}} $ASYNCDUMP_FINDINGS" >> {told}'
        done = watch(tool, sick.pid, "--for", "3s", "--exec", command)
        text = told.read_text()
        check("--exec: told once, and the watch goes on; status 3 at its end",
              done.returncode == 3 and text.count(f"{sick.pid} unset lock_cycle: ") == 1, (done.returncode, text))
        check("--exec: no dump is printed", not done.stdout, done.stdout)
        told.unlink()
        watch(tool, sick.pid, "--once", "--exec", command, "--dump-to", folder)
        text = told.read_text()
        check("--exec with --dump-to: the dump is named", re.search(rf" {folder}/asyncdump-{sick.pid}-\S+\.txt lock_cycle", text),
              text)


def check_folders(tool, target):
    with LiveTarget([target, "guards"]) as sick, tempfile.TemporaryDirectory() as folder:
        new, below_nothing, file = pathlib.Path(folder, "new"), pathlib.Path(folder, "none/new"), pathlib.Path(folder, "file")
        file.write_text("")
        for path, why in ((below_nothing, "No such file"), (file, "no folder"), ("/proc", "/proc")):
            done = watch(tool, sick.pid, "--once", "--dump-to", path)
            check(f"--dump-to {why}: a usage error in one line",
                  done.returncode == 64 and why in done.stderr and len(done.stderr.splitlines()) == 1,
                  (done.returncode, done.stderr))
        check("no folder was made below one that is not there", not below_nothing.parent.exists())
        done = watch(tool, sick.pid, "--once", "--dump-to", new)
        names = sorted(path.name.rsplit(".")[-1] for path in new.iterdir())
        check("the folder is made, and holds nothing but the dump", done.returncode == 3 and names == ["json", "txt"], names)

        # As on a full disk. The limit's signal stays ignored, as Python has it.
        limits = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)), "restore_signals": False}
        for options in ([], ["--exec", "true"]):
            done = watch(tool, sick.pid, "--once", "--dump-to", folder, *options, **limits)
            check(f"a dump that cannot be written is printed {options}",
                  done.returncode == 3 and "FINDINGS: 1 error" in done.stdout and "printed on standard output" in done.stderr,
                  (done.returncode, done.stdout, done.stderr))


def check_commands(tool, target):
    with LiveTarget([target, "guards"]) as sick:
        done = watch(tool, sick.pid, "--for", "4s", "--exec", "exec tail -f /dev/null > /dev/null 2>&1")
        left = re.search(r"process (\d+) is left behind", done.stderr)
        check("--exec: a command that hangs ends with --for and is left behind", done.returncode == 3 and left,
              (done.returncode, done.stderr))
        if left:
            os.kill(int(left.group(1)), signal.SIGKILL)
    with LiveTarget([target, "guards"]) as sick:
        done = watch(tool, sick.pid, "--for", "30s", "--exec", "kill -KILL $ASYNCDUMP_PID")
        check("--exec: the target is killed: it was reported all the same", done.returncode == 3, (done.returncode, done.stderr))


def check_full_dumps(tool, target):
    """What the registry knows is enough for g++'s target, unless --scan asks for more."""
    for options in ([], ["--scan"]):
        with LiveTarget([target, "guards"], wrapper=[tool, "run", "--"]) as sick:
            dump = subprocess.run([tool, str(sick.pid), "--json", *options], stdout=subprocess.PIPE, timeout=60)
            expected = json.loads(dump.stdout)["capture"]["sources"]
            done = watch(tool, sick.pid, "--once", "--json", *options)
            found = json.loads(done.stdout)["capture"]["sources"] if done.stdout else done.stderr
            check(f"full dumps {options} look for coroutines as asyncdump PID does",
                  done.returncode == 3 and found == expected and ("scan" in found or not options), (found, expected))
    with LiveTarget([target, "guards"]) as sick:
        done = watch(tool, sick.pid, "--once", "--exact")
        check("full dumps with --exact", done.returncode == 3, (done.returncode, done.stderr))


def check_names(tool, target):
    with tempfile.TemporaryDirectory() as folder:
        server = shutil.copy2(target, pathlib.Path(folder, f"server{os.getpid()}"))
        name = pathlib.Path(server).name
        with LiveTarget([server, "guards"]) as older, LiveTarget([server, "guards", "healthy"]) as younger:
            done = subprocess.run([tool, "watch", "--name", name, *QUICK, "--once"], capture_output=True, text=True, timeout=60)
            check("of two processes the oldest is watched, and both are named",
                  done.returncode == 3 and f"the oldest, {older.pid}, and not {younger.pid}\n" in done.stderr,
                  (done.returncode, done.stderr))
        done = subprocess.run([tool, "watch", "--name", name, "--for", "10ms"], capture_output=True, text=True, timeout=60)
        check("it says that it waits", done.returncode == 0 and f"no process {name}; waiting" in done.stderr and
              len(done.stderr.splitlines()) == 1, (done.returncode, done.stderr))
    done = subprocess.run([tool, "watch", "1", "--name", "x"], capture_output=True, text=True, timeout=60)
    check("PID and --name", done.returncode == 64 and "exclude each other" in done.stderr, (done.returncode, done.stderr))


def blocks_of(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", document, re.MULTILINE | re.DOTALL)


def check_shell_example(document, tool, target):
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder, "watchdog.sh")
        script.write_text(blocks_of(document, "sh")[0])
        environment = dict(os.environ, PATH=f"{pathlib.Path(tool).parent}:{os.environ['PATH']}", INTERVAL="50ms",
                           STUCK_AFTER="300ms", DUMPS=folder, RESTARTS="1", SHORTEST_PAUSE="0")
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


def check_pauses_of_shell_example(document, tool):
    """A server that ends at once. The pauses are noted instead of slept."""
    with tempfile.TemporaryDirectory() as folder:
        script, stand_in, noted = (pathlib.Path(folder, name) for name in ("watchdog.sh", "sleep", "noted"))
        script.write_text(blocks_of(document, "sh")[0])
        stand_in.write_text(f'#!/bin/sh\necho "$1" >> "{noted}"\n')
        stand_in.chmod(0o755)
        environment = dict(os.environ, PATH=f"{folder}:{pathlib.Path(tool).parent}:{os.environ['PATH']}", DUMPS=folder, RESTARTS="8")
        subprocess.run(["sh", str(script), "false"], capture_output=True, timeout=60, env=environment)
        pauses = noted.read_text().split() if noted.exists() else []
        check("the shell watchdog waits longer and longer", pauses == "1 2 4 8 16 32 60 60".split(), pauses)


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
    check_folders(options.tool, options.target)
    check_commands(options.tool, options.target)
    check_full_dumps(options.tool, options.target)
    check_names(options.tool, options.target)
    check_shell_example(document, options.tool, options.target)
    check_pauses_of_shell_example(document, options.tool)
    check_unit_example(document, options.tool, options.target)
    check_manifest(document)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
