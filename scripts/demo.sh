#!/usr/bin/env bash
# Shows what asyncdump is for: builds it, starts a server that hangs (examples/hung_server), dumps it, and stops it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install-dependencies.sh --build

echo "== Building"
cmake --preset release >/dev/null
cmake --build --preset release --target asyncdump hung_server

server=""
stop_server() {
    if [[ -n "$server" ]]; then
        kill "$server" 2>/dev/null || true
    fi
}
trap stop_server EXIT

echo
echo "== Starting a server that will hang"
exec {server_output}< <(exec build/release/examples/hung_server)
server=$!
if ! IFS= read -r -t 60 -u "$server_output" line; then
    echo "The server did not come to hang." >&2
    exit 1
fi
echo "$line"

dump=(build/release/cli/asyncdump "$server")
# Yama's ptrace_scope lets an ordinary user look at his own children only; the server is not asyncdump's child.
scope=0
if [[ -r /proc/sys/kernel/yama/ptrace_scope ]]; then
    scope=$(</proc/sys/kernel/yama/ptrace_scope)
fi
if ((EUID != 0 && scope != 0)); then
    dump=(sudo "${dump[@]}")
fi

echo
echo "== ${dump[*]}"
"${dump[@]}"
