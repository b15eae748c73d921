#!/usr/bin/env python3
"""What a dump costs, beside the tools that one would use without asyncdump, on the same process in the same run.

    dump_bench.py [--runs N] [--quick] ASYNCDUMP BENCH_TARGET READ_RANGES LARGE_EXECUTABLE

Prints tables in Markdown. Each figure is the median of N runs; the tools take turns, so that whatever else the machine
does meets all of them. Nothing is asserted.
"""

import argparse
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
TIMEOUT_S = 60  # of the others; asyncdump has ten times as long
LEFT_FREE_MIB = 2048  # of memory, beside the largest heap
SLOW_S = 10  # what takes longer is measured once
FRAMES_OF_OTHERS = ["-n", "0"]  # eu-stack ends a stack after 256 frames otherwise

OTHERS = {
    "eu-stack": lambda pid: ["eu-stack", *FRAMES_OF_OTHERS, "-p", pid],
    "eu-stack -s": lambda pid: ["eu-stack", *FRAMES_OF_OTHERS, "-s", "-p", pid],
    "eu-stack -i -s": lambda pid: ["eu-stack", *FRAMES_OF_OTHERS, "-i", "-s", "-p", pid],
    "gdb": lambda pid: ["gdb", "-nx", "-batch", "-p", pid, "-ex", "thread apply all bt"],
    "lldb-16": lambda pid: ["lldb-16", "--no-lldbinit", "--batch", "-p", pid, "-o", "thread backtrace all"],
}
WALKER = pathlib.Path(__file__).resolve().with_name("walk_continuations.py")
MOST_WALKED = 100_000  # what gdb's Python walks within a minute

Dump = collections.namedtuple("Dump", "wall_s cpu_s total_s pause_us peak_bytes bytes_scanned output_bytes")


class Target:
    """`with Target([...]) as pid`: everything stands, all threads block; it does not outlive the block."""

    def __init__(self, command):
        self._command = command

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"READY\n":
            raise RuntimeError(f"{' '.join(self._command)} did not become ready")
        return str(self._process.pid)

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()


def bench_target(options, coroutines=1, heap_mib=0, threads=1, depth=5, wrapper=()):
    return Target([*wrapper, options.bench_target, str(coroutines), str(heap_mib), str(threads), str(depth)])


Run = collections.namedtuple("Run", "wall_s cpu_s peak_bytes output_bytes head")


def run(command, timeout_s=TIMEOUT_S, environment=None):
    """-> Run; its time is infinite when the command took too long, and unknown (None) when it failed.

    The peak is never below this script's own size, about 20 MiB: the kernel counts what the child was before it became
    the program.
    """
    with tempfile.TemporaryFile() as output:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
                                   env=dict(os.environ, **(environment or {})))
        too_long = threading.Timer(timeout_s, os.kill, (process.pid, signal.SIGKILL))
        too_long.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        too_long.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode == -signal.SIGKILL:
            wall = float("inf")
        elif process.returncode not in (0, 1):
            wall = None
        size = output.seek(0, os.SEEK_END)
        output.seek(0)
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, size, output.read(65536))


def dump(asyncdump, pid, *more):
    done = run([asyncdump, pid, "--json", *more], 10 * TIMEOUT_S)
    if done.wall_s in (None, float("inf")):
        raise RuntimeError(f"{asyncdump} {pid} --json failed or took too long ({done.wall_s} s)")
    # A million coroutines are a gigabyte of JSON: the head has what is needed.
    capture = json.loads(re.search(rb'"capture":(\{.*?\})', done.head).group(1))
    return Dump(done.wall_s, done.cpu_s, capture["total_ms"] / 1e3, capture["pause_us"], done.peak_bytes,
                capture["bytes_scanned"], done.output_bytes)


def bare_read(program, pid):
    """-> bytes a second"""
    size, microseconds = run([program, pid]).head.split()
    return int(size) / int(microseconds) * 1e6


def median(values, field=None):
    return statistics.median(getattr(value, field) if field else value for value in values)


def in_turns(runs, pid, asyncdump, others):
    """-> (asyncdump's dumps, {other tool: its runs})"""
    dumps, theirs = [], {name: [] for name in others}
    for _ in range(runs):
        dumps.append(dump(asyncdump, pid))
        for name in others:
            before = theirs[name][-1].wall_s if theirs[name] else 0
            if before is not None and before < SLOW_S:
                theirs[name].append(run(OTHERS[name](pid)))
    return dumps, theirs


def seconds(value):
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def beside(own, runs):
    """The other tool's time, and how many times as long as asyncdump's it is."""
    if runs[-1].wall_s is None:
        return "failed"
    theirs = median(runs, "wall_s")
    if theirs == float("inf"):
        return f"over {TIMEOUT_S} s ({TIMEOUT_S / own:.0f}x)"
    ratio = theirs / own
    return f"{seconds(theirs)} ({ratio:.2f}x)" if ratio < 1 else f"{seconds(theirs)} ({ratio:.1f}x)"


def print_table(title, columns, rows):
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    print(f"\n### {title}\n")
    for row in [columns, ["-" * (width - 1) + ":" for width in widths], *rows]:
        print("| " + " | ".join(cell.rjust(width) for cell, width in zip(row, widths)) + " |", flush=True)


PRINT_INNERMOST = """
import json, sys
for coroutine in json.load(sys.stdin)["coroutines"]:
    if not coroutine["awaits"]:
        print(coroutine["id"])
"""


def walked_by_gdb(options, pid):
    """-> runs of the gdb script on this process; it is given the innermost coroutine of each chain"""
    with tempfile.NamedTemporaryFile("w", suffix=".frames") as frames:
        # Not parsed here: what this script once needed would count as the peak of all that it runs later.
        with subprocess.Popen([options.asyncdump, pid, "--json"], stdout=subprocess.PIPE) as dumped:
            subprocess.run([sys.executable, "-c", PRINT_INNERMOST], stdin=dumped.stdout, stdout=frames, check=True)
        return [run(["gdb", "-nx", "-batch", "-p", pid, "-x", str(WALKER)], environment={"FRAMES": frames.name})]


def coroutine_counts(options):
    return [1, 1_000, 10_000] + ([] if options.quick else [100_000, 1_000_000])


def agent_rows(options):
    rows = []
    for count in coroutine_counts(options):
        with bench_target(options, coroutines=count, wrapper=[options.asyncdump, "run", "--"]) as pid:
            dumps = [dump(options.asyncdump, pid) for _ in range(min(options.runs, 3))]
        with bench_target(options, coroutines=count) as pid:
            without = [dump(options.asyncdump, pid) for _ in range(min(options.runs, 3))]
        wall, pause = median(dumps, "wall_s"), median(dumps, "pause_us")
        rows.append([f"{count:,}", seconds(median(dumps, "total_s")), seconds(wall), seconds(median(dumps, "cpu_s")),
                     seconds(pause / 1e6), f"{pause * 1e3 / count:.0f} ns" if count >= 1000 else "-",
                     f"{median(dumps, 'peak_bytes') / MIB:.0f} MiB", f"{median(without, 'wall_s') / wall:.2f}x"])
    return rows


def output_rows(options):
    """Writing alone: what the whole command takes longer than the dump before it."""
    count = 10_000 if options.quick else 1_000_000
    rows = []
    with bench_target(options, coroutines=count) as pid:
        dumps = [dump(options.asyncdump, pid) for _ in range(min(options.runs, 3))]
        total = median(dumps, "total_s")
        commands = {"JSON": ["--json"], "text, every tree": ["--all"], "text": []}
        for name, arguments in commands.items():
            runs = [run([options.asyncdump, pid, *arguments], 10 * TIMEOUT_S) for _ in range(min(options.runs, 3))]
            writing = max(median(runs, "wall_s") - total, 1e-3)
            size = median(runs, "output_bytes")
            rows.append([name, f"{count:,}", f"{size / 1e6:.1f} MB", seconds(writing),
                         f"{size / writing / 1e6:.0f} MB/s" if size > 10e6 else "-"])
    return rows


def debug_bytes(program):
    lines = subprocess.run(["size", "-A", "-d", program], check=True, capture_output=True, text=True).stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(".debug"))


def large_rows(options):
    rows = []
    size = debug_bytes(options.large_executable)
    for functions in [50, 500] + ([] if options.quick else [5000]):
        with Target([options.large_executable, str(functions), "10"]) as pid:
            first, second, without, stacks = [], [], [], []
            for _ in range(min(options.runs, 3)):
                with tempfile.TemporaryDirectory() as caches:
                    os.environ["XDG_CACHE_HOME"] = caches
                    first.append(dump(options.asyncdump, pid))
                    second.append(dump(options.asyncdump, pid))
                without.append(dump(options.asyncdump, pid, "--no-cache"))
                stacks.append(run(OTHERS["eu-stack -s"](pid)))
        own, theirs = median(first, "wall_s"), median(stacks, "wall_s")
        rows.append([f"{size / MIB:,.0f} MiB", f"{functions:,}", seconds(own), seconds(median(second, "wall_s")),
                     seconds(median(second, "cpu_s")), seconds(median(without, "wall_s")),
                     f"{median(first, 'peak_bytes') / MIB:.0f} MiB", seconds(theirs), f"{(theirs + 1) / own:.1f}x"])
    return rows


def coroutine_rows(options):
    rows = []
    for count in coroutine_counts(options):
        with bench_target(options, coroutines=count) as pid:
            dumps, theirs = in_turns(options.runs, pid, options.asyncdump, options.stack_tools)
            walked = walked_by_gdb(options, pid) if count <= MOST_WALKED and shutil.which("gdb") else None
        wall, pause = median(dumps, "wall_s"), median(dumps, "pause_us")
        writing = median([d.wall_s - d.total_s for d in dumps])
        output = median(dumps, "output_bytes")
        total = median(dumps, "total_s")
        rows.append([f"{count:,}", seconds(total), f"{total * 1e6 / count:.1f} us" if count >= 1000 else "-",
                     seconds(wall), seconds(median(dumps, "cpu_s")), seconds(pause / 1e6),
                     f"{pause * 1e3 / count:.0f} ns" if count >= 1000 else "-",
                     f"{median(dumps, 'peak_bytes') / MIB:.0f} MiB",
                     f"{output / writing / 1e6:.0f} MB/s" if output > 10e6 else "-",
                     *(beside(wall, theirs[name]) for name in options.stack_tools),
                     beside(wall, walked) if walked else "skipped"])
    return rows


def heap_rows(options):
    with bench_target(options, coroutines=5) as pid:
        without = median([dump(options.asyncdump, pid) for _ in range(options.runs)], "total_s")
    rows = []
    for mebibytes in [64] if options.quick else [64, 1024, 4096, 8192]:
        dumps, bare = [], []
        available = int(first_match("/proc/meminfo", r"^MemAvailable:\s+(\d+) kB")) // 1024
        if available < mebibytes + LEFT_FREE_MIB:
            rows.append([f"{mebibytes:,} MiB", f"skipped: only {available:,} MiB are free", *["-"] * 6])
            continue
        with bench_target(options, coroutines=5, heap_mib=mebibytes) as pid:
            for _ in range(options.runs if mebibytes <= 1024 else min(options.runs, 3)):
                dumps.append(dump(options.asyncdump, pid))
                bare.append(bare_read(options.read_ranges, pid))
        total, scanned, rate = median(dumps, "total_s"), median(dumps, "bytes_scanned"), median(bare)
        # What the heap adds to a dump, which reads it twice: for frames, and for what refers to them.
        searching = 2 * scanned / max(total - without, 1e-3)
        rows.append([f"{mebibytes:,} MiB", seconds(total), seconds(median(dumps, "pause_us") / 1e6),
                     f"{median(dumps, 'peak_bytes') / MIB:.0f} MiB", f"{scanned / total / 1e9:.2f} GB/s",
                     f"{searching / 1e9:.2f} GB/s", f"{rate / 1e9:.2f} GB/s", f"{searching / rate:.0%}"])
    return rows


def thread_rows(options):
    rows = []
    names = ["eu-stack", "eu-stack -i -s"]
    for count in [1, 100] + ([] if options.quick else [1000]):
        with bench_target(options, coroutines=5, threads=count, depth=100) as pid:
            dumps, theirs = in_turns(options.runs, pid, options.asyncdump, names)
        wall, pause = median(dumps, "wall_s"), median(dumps, "pause_us")
        rows.append([f"{count:,}", seconds(wall), seconds(median(dumps, "cpu_s")), seconds(pause / 1e6),
                     f"{pause / count:.0f} us",
                     f"{median(dumps, 'peak_bytes') / MIB:.0f} MiB",
                     *(beside(wall, theirs[name]) for name in names)])
    return rows


def first_match(path, pattern):
    with open(path, encoding="utf-8") as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found.group(1) if found else "unknown"


def first_line(command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0]


def print_machine(options):
    memory = int(first_match("/proc/meminfo", r"^MemTotal:\s+(\d+) kB")) / MIB
    print(f"- {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}; median of {options.runs} runs")
    print(f"- {first_match('/proc/cpuinfo', r'^model name.*: (.*)$')}, {os.cpu_count()} processors, {memory:.0f} GiB; "
          f"load average before: {os.getloadavg()[0]:.1f}")
    print(f"- {first_match('/etc/os-release', r'^PRETTY_NAME=.(.*).$')}, Linux {platform.release()}")
    print(f"- {first_line([options.asyncdump, '--version'])}; {first_line(['eu-stack', '--version'])}; "
          f"{first_line(['gdb', '--version'])}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="without the largest targets")
    parser.add_argument("asyncdump")
    parser.add_argument("bench_target")
    parser.add_argument("read_ranges")
    parser.add_argument("large_executable")
    parser.add_argument("--only", action="append", help="one of the tables, by a word of its title (repeatable)")
    options = parser.parse_args()

    wanted = ["eu-stack", "eu-stack -i -s", "gdb", "lldb-16"]
    options.stack_tools = [name for name in wanted if shutil.which(name.split()[0])]
    tables = [
        ("Suspended coroutines, in chains of 5",
         ["coroutines", "dump", "dump each", "with JSON", "CPU", "pause", "pause each", "peak memory", "JSON",
          *(f"{name} (ratio)" for name in options.stack_tools), "gdb script (ratio)"], coroutine_rows),
        ("The same with the agent in the process",
         ["coroutines", "dump", "with JSON", "CPU", "pause", "pause each", "peak memory", "without agent (ratio)"], agent_rows),
        ("Output", ["form", "coroutines", "size", "writing", "rate"], output_rows),
        ("A heap of data, 5 coroutines",
         ["heap", "dump", "pause", "peak memory", "bytes / dump", "search", "bare read", "search / bare"], heap_rows),
        ("Threads, each 100 calls deep",
         ["threads", "with JSON", "CPU", "pause", "pause each", "peak memory", "eu-stack (ratio)", "eu-stack -i -s (ratio)"],
         thread_rows),
        ("A large executable with 5,000 coroutine functions",
         ["debug information", "functions with frames", "first dump", "second dump", "its CPU", "--no-cache", "peak memory",
          "eu-stack -s", "(eu-stack -s + 1 s) / first"], large_rows),
    ]
    print_machine(options)
    print("- asyncdump's cache was filled by a dump before, except where the table says otherwise")
    for name in wanted:
        if name not in options.stack_tools:
            print(f"- {name} skipped: not installed")
    with tempfile.TemporaryDirectory() as caches:
        os.environ["XDG_CACHE_HOME"] = caches
        with bench_target(options) as pid:
            dump(options.asyncdump, pid)
        for title, columns, rows in tables:
            if options.only and not any(word in title for word in options.only):
                continue
            os.environ["XDG_CACHE_HOME"] = caches
            begin = time.monotonic()
            print_table(title, columns, rows(options))
            print(f"\nmeasured in {time.monotonic() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
