#!/usr/bin/env python3
"""The cache of debug information: a dump with it says what one without it says, it is used only where nobody else could
have written it, and no content of it does harm.

    check_cache.py --tool ASYNCDUMP --shapes TASK_SHAPES TARGET...
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from checks import check, exit_status  # noqa: E402
from live_target import LiveTarget  # noqa: E402

HEADER = struct.Struct("=6Q")  # magic, version, tool, fingerprint, entries, checksum of the table
ENTRY = struct.Struct("=5Q")  # kind, id, offset, length, checksum
CODE_POSITIONS = 3
MUTATIONS = 60


def checksum(content):
    """modules/module_cache.cpp: checksum_of"""
    factor, most = 0x9E3779B97F4A7C15, (1 << 64) - 1
    total = len(content) * factor & most
    for i in range(0, len(content), 8):
        total = (total ^ int.from_bytes(content[i:i + 8], "little")) * factor & most
        total ^= total >> 29
    return total


def entries_of(content):
    count = HEADER.unpack_from(content)[4]
    return [ENTRY.unpack_from(content, HEADER.size + i * ENTRY.size) for i in range(count)]


def with_right_checksums(content):
    """As somebody would write it who wants it to be believed."""
    content = bytearray(content)
    for i, (kind, number, offset, length, _) in enumerate(entries_of(content)):
        new = checksum(bytes(content[offset:offset + length]))
        ENTRY.pack_into(content, HEADER.size + i * ENTRY.size, kind, number, offset, length, new)
    header = list(HEADER.unpack_from(content))
    header[5] = checksum(bytes(content[HEADER.size:HEADER.size + header[4] * ENTRY.size]))
    HEADER.pack_into(content, 0, *header)
    return bytes(content)


class Tool:
    def __init__(self, path, pid, caches):
        self._command, self.caches = [path, str(pid)], caches

    def run(self, *options, environment=None):
        variables = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "HOME")}
        variables.update({"XDG_CACHE_HOME": str(self.caches)} if environment is None else environment)
        return subprocess.run([*self._command, *options], capture_output=True, timeout=120, check=False, env=variables)

    def dump(self, *options, environment=None):
        """-> (everything but times, standard error)"""
        done = self.run("--json", *options, environment=environment)
        if done.returncode not in (0, 1):
            return f"exit status {done.returncode}", done.stderr
        dump = json.loads(done.stdout)
        for name in ("at", "pause_us", "total_ms"):
            del dump["capture"][name]
        return dump, done.stderr

    @property
    def folder(self):
        return self.caches / "asyncdump"

    def files(self):
        return sorted(self.folder.iterdir()) if self.folder.exists() else []

    def state(self):
        return [(file.name, file.stat().st_mtime_ns, file.stat().st_ino) for file in self.files()]


def check_equal(name, tool):
    for options in ([], ["--locals"], ["--full-names"]):
        shown = f"{name} {' '.join(options)}".strip()
        without, _ = tool.dump("--no-cache", *options)
        check(f"{shown}: --no-cache keeps nothing", options or not tool.folder.exists())
        first, _ = tool.dump(*options)
        check(f"{shown}: the first dump says the same", first == without)
        before = tool.state()
        check(f"{shown}: the first dump keeps something", bool(before))
        second, _ = tool.dump(*options)
        check(f"{shown}: the second dump says the same", second == without)
        check(f"{shown}: the second dump writes nothing", tool.state() == before, (before, tool.state()))
    check(f"{name}: nobody else may look", tool.folder.stat().st_mode & 0o777 == 0o700 and
          all(file.stat().st_mode & 0o777 == 0o600 for file in tool.files()))


def replaced(content, name, other):
    return with_right_checksums(content.replace(name.encode(), other.encode()))


def check_distrust(name, tool, truth):
    """A file that lies is believed when it is ours, and in no other case."""
    program = next(file for file in tool.files() if b"wait_for_end" in file.read_bytes() or b"main" in file.read_bytes())
    honest = program.read_bytes()
    lie = replaced(honest, "main", "niam")
    lies = [frame for thread in tool.dump()[0]["threads"] for frame in thread["frames"] if frame["function"] == "main"]
    check(f"{name}: main is on the stack", bool(lies))

    def says(case, is_believed):
        dump, _ = tool.dump()
        check(f"{name}: {case}", (dump != truth) if is_believed else (dump == truth), dump)

    def put(content):
        program.unlink(missing_ok=True)
        program.write_bytes(content)
        program.chmod(0o600)

    put(lie)
    says("a lie in our own file is believed: the cache is used", True)
    put(honest.replace(b"main", b"niam"))
    says("wrong checksums are not", False)
    put(lie[:8] + struct.pack("=Q", 99) + lie[16:])
    says("another version of the format is not", False)
    put(lie[:16] + struct.pack("=Q", 99) + lie[24:])
    says("what another build wrote is not", False)
    put(lie[:24] + struct.pack("=Q", 99) + lie[32:])
    says("what belongs to another file of the same build id is not", False)
    for mode in (0o620, 0o602):
        put(lie)
        program.chmod(mode)
        says(f"a file of mode {mode:o} is not", False)
    put(lie)
    elsewhere = tool.caches / "elsewhere"
    os.replace(program, elsewhere)
    program.symlink_to(elsewhere)
    says("a symbolic link is not", False)
    put(lie)
    tool.folder.chmod(0o770)
    before = tool.state()
    says("a folder that others may write to is not", False)
    check(f"{name}: nothing is written there either", tool.state() == before)
    tool.folder.chmod(0o700)
    if os.geteuid() == 0:
        put(lie)
        os.chown(program, 65534, 65534)
        says("another user's file is not", False)
        put(lie)
        os.chown(tool.folder, 65534, 65534)
        says("another user's folder is not", False)
        os.chown(tool.folder, 0, 0)
    else:
        print("skipped: another user's files: only root can give them away")
    program.unlink()
    tool.dump()
    put(honest)


def check_hostile(name, tool):
    """Content that carries right checksums, and is wrong anywhere."""
    kept = {file: file.read_bytes() for file in tool.files()}
    chance = random.Random(17)
    outcomes = set()
    for _ in range(MUTATIONS):
        for file, content in kept.items():
            wrong = bytearray(content)
            for _ in range(chance.choice((1, 4, 64))):
                place = chance.randrange(HEADER.size, len(wrong))
                value = chance.choice((0, 0xFF, 0x80, chance.randrange(256)))
                width = min(chance.choice((1, 8)), len(wrong) - place)
                wrong[place:place + width] = bytes([value]) * width
            if chance.random() < 0.2:
                wrong = wrong[:chance.randrange(len(wrong))]
            with contextlib.suppress(struct.error):
                wrong = with_right_checksums(wrong)
            file.write_bytes(wrong)
        outcomes.add(tool.run("--json", "--locals").returncode)
    check(f"{name}: no content of the cache does harm", outcomes <= {0, 1}, outcomes)
    for file, content in kept.items():
        file.write_bytes(content)


def check_no_place(name, tool, truth):
    for environment in ({}, {"HOME": "/proc/nowhere"}, {"XDG_CACHE_HOME": "relative"}, {"XDG_CACHE_HOME": "/dev/null"}):
        dump, errors = tool.dump(environment=environment)
        check(f"{name}: without a place for it ({environment}) there is just no cache", dump == truth and not errors, errors)
    home = tool.caches / "home"
    home.mkdir()
    tool.dump(environment={"HOME": str(home)})
    check(f"{name}: without XDG_CACHE_HOME it is in ~/.cache", any((home / ".cache/asyncdump").iterdir()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--shapes", required=True, help="the target task_shapes")
    parser.add_argument("targets", nargs="+")
    options = parser.parse_args()
    commands = [[options.shapes, "kinds"], *([target] for target in options.targets)]
    for command in commands:
        name = pathlib.Path(command[0]).name
        with LiveTarget(command) as running, tempfile.TemporaryDirectory() as folder:
            tool = Tool(options.tool, running.pid, pathlib.Path(folder))
            check_equal(name, tool)
            if command is commands[0]:
                truth, _ = tool.dump("--no-cache")
                check_distrust(name, tool, truth)
                check_hostile(name, tool)
                check_no_place(name, tool, truth)
            for wrong in running.threads_left_stopped():
                check(wrong, False)
    return exit_status()


if __name__ == "__main__":
    sys.exit(main())
