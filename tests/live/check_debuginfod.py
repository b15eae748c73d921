#!/usr/bin/env python3
"""A stripped target whose debug file only a debuginfod server has: its dump is that of the target with its own debug
information, and without the server it says what is missing.

Exit status: 0 as it should be, 1 not.
"""

import argparse
import functools
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

from live_target import LiveTarget  # noqa: E402


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("target")
    return parser.parse_args()


def dump(tool, executable, folder, url=None):
    environment = dict(os.environ, DEBUGINFOD_CACHE_PATH=str(folder / "cache"))
    environment.pop("DEBUGINFOD_URLS", None)
    if url:
        environment["DEBUGINFOD_URLS"] = url
    with LiveTarget([str(executable)]) as target:
        done = subprocess.run([tool, str(target.pid), "--json", "--no-cache"], capture_output=True, text=True, timeout=120,
                              env=environment, check=False)
    return done.returncode, json.loads(done.stdout)


def coroutines(told):
    lines = [(c["function"], c["state"], (c["suspended_at"] or {}).get("line")) for c in told["coroutines"]]
    return sorted(lines, key=str)


def main():
    options = arguments()
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        stripped = folder / "target"
        subprocess.run(["objcopy", "--strip-all", options.target, str(stripped)], check=True)
        notes = subprocess.run(["readelf", "-n", str(stripped)], capture_output=True, text=True, check=True).stdout
        build_id = re.search(r"Build ID: ([0-9a-f]+)", notes).group(1)
        served = folder / "served" / "buildid" / build_id
        served.mkdir(parents=True)
        subprocess.run(["objcopy", "--only-keep-debug", options.target, str(served / "debuginfo")], check=True)
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder / "served")))
        threading.Thread(target=server.serve_forever, daemon=True).start()

        _, own = dump(options.tool, options.target, folder)
        status, without = dump(options.tool, stripped, folder)
        if status != 1 or without["coroutines"] or "missing_symbols" not in [p["code"] for p in without["problems"]]:
            wrong.append(f"without the server: status {status}, {len(without['coroutines'])} coroutines, problems "
                         f"{[p['code'] for p in without['problems']]}")
        status, fetched = dump(options.tool, stripped, folder, f"http://127.0.0.1:{server.server_port}")
        if status != 0 or not coroutines(own) or coroutines(fetched) != coroutines(own):
            wrong.append(f"with the server: status {status}, {coroutines(fetched)} instead of {coroutines(own)}")
        server.shutdown()
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"{len(own['coroutines'])} coroutines compared")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
