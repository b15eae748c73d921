#!/usr/bin/env python3
"""`asyncdump run`: the command is itself, with the agent; and what cannot load the agent is told in words."""

import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

AGENT = "libasyncdump-agent.so"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--compiler", required=True)
    return parser.parse_args()


class Checks:
    def __init__(self, tool, work):
        self.tool, self.work, self.wrong = tool, work, []

    def run(self, *words, environment=None, text=None, close_fds=True):
        done = subprocess.run([self.tool, "run", *words], capture_output=True, text=True, check=False, input=text,
                              timeout=60, env=dict(os.environ, **(environment or {})), close_fds=close_fds)
        return done.returncode, done.stdout, done.stderr

    def expect(self, what, is_so, seen):
        if not is_so:
            self.wrong.append(f"{what}: {seen}")

    def build(self, compiler, name, *flags):
        program = self.work / name
        source = self.work / "program.cpp"
        source.write_text("int main() { return 0; }\n")
        done = subprocess.run([compiler, source, "-o", program, *flags], capture_output=True, check=False)
        return str(program) if done.returncode == 0 else None


def check_command(checks):
    status, out, err = checks.run("--", "sh", "-c", 'cat; echo "$1" >&2; exit 7', "sh", "to stderr", text="through")
    checks.expect("streams and status", (status, out, err) == (7, "through", "to stderr\n"), (status, out, err))
    status, out, _ = checks.run("--", "sh", "-c", "kill -TERM $$")
    checks.expect("its signal is its end", status == -signal.SIGTERM, status)
    status, out, _ = checks.run("--", "sh", "-c", 'grep -c ' + AGENT + ' /proc/$$/maps; echo "[$LD_PRELOAD]"')
    checks.expect("the agent is loaded, and not inherited",
                  status == 0 and out.split()[0] != "0" and AGENT not in out.split()[1], out)
    status, out, _ = checks.run("--children", "--", "sh", "-c", "grep -c " + AGENT + " /proc/self/maps")
    checks.expect("children have it when asked for", status == 0 and out.strip() != "0", out)
    status, out, _ = checks.run("--children", "--stack", "4", "--malloc", "--", "sh", "-c",
                                'echo "$ASYNCDUMP_AGENT"; echo "$LD_PRELOAD"',
                                environment={"LD_PRELOAD": "libm.so.6", "ASYNCDUMP_AGENT": "stack=2"})
    lines = out.splitlines()
    checks.expect("options", lines[0] == "stack=2,stack=4,malloc=1,children=1", lines)
    checks.expect("the agent comes before others", lines[1].endswith(AGENT + ":libm.so.6"), lines)
    status, out, _ = checks.run("--", "sh", "-c", "grep SigIgn /proc/self/status")
    ignored = open("/proc/self/status", encoding="ascii").read().split("SigIgn:\t")[1].split()[0]
    # Python ignores SIGPIPE and restores it for its children.
    checks.expect("ignored signals are as they were", int(out.split()[1], 16) & ~int(ignored, 16) == 0, out)


def check_failures(checks, compiler):
    for words, expected in ((["--", "/nonexistent"], 127), (["--", "nonexistent-command"], 127), (["--", "/tmp"], 126),
                            ([], 64), (["--bogus", "--", "true"], 64), (["--stack", "99", "--", "true"], 64)):
        status, _, err = checks.run(*words)
        checks.expect(f"run {words}", status == expected and err.count("\n") >= 1, (status, err))
    for agent, word in (("/nonexistent", "No such file"), ("/etc/passwd", "is no libasyncdump-agent.so")):
        status, out, err = checks.run("--agent", agent, "--", "echo", "started")
        checks.expect(f"{agent} is refused", (status, out) == (125, "") and word in err, (status, out, err))
        status, out, err = checks.run("--agent", agent, "--best-effort", "--", "echo", "started")
        checks.expect(f"without {agent}", (status, out) == (0, "started\n") and "ld.so" not in err, (status, out, err))
    setuid = checks.build(compiler, "setuid")
    os.chmod(setuid, 0o4755)
    for program, word in ((checks.build(compiler, "static", "-static"), "static"), (setuid, "setuid"),
                          (checks.build(compiler, "asan", "-fsanitize=address"), "AddressSanitizer"),
                          (checks.build(compiler, "bits32", "-m32", "-nostdlib", "-static", "-Wl,-emain"), "64-bit")):
        if program is None:
            print("not checked, because it cannot be built here:", word)
            continue
        status, _, err = checks.run("--", program)
        checks.expect(f"{word} is refused", status == 125 and word in err, (status, err))
        if word != "64-bit":
            status, _, err = checks.run("--best-effort", "--", program)
            checks.expect(f"{word} is started all the same", status == 0 and word in err, (status, err))


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="asyncdump-run-") as work:
        checks = Checks(options.tool, pathlib.Path(work))
        check_command(checks)
        check_failures(checks, options.compiler)
    for sentence in checks.wrong:
        print("WRONG:", sentence)
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
