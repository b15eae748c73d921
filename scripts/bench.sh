#!/usr/bin/env bash
# Installs what is missing, builds with full optimisation, measures, and prints the tables of docs/benchmarks.md.
#
#   scripts/bench.sh             what a dump costs (a few minutes)
#   scripts/bench.sh --quick     the same without the largest targets
#   scripts/bench.sh --agent     what the agent costs its host, too
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=()
agent=false
for argument in "$@"; do
    case "$argument" in
        --quick) options+=(--quick) ;;
        --agent) agent=true ;;
        *)
            echo "usage: scripts/bench.sh [--quick] [--agent]" >&2
            exit 64
            ;;
    esac
done

scripts/install-dependencies.sh --bench >&2

unset DEBUGINFOD_URLS  # nobody waits for the network in a measurement
mkdir -p build
cmake --preset bench -DPython3_EXECUTABLE=/usr/bin/python3 >build/configure-bench.log || {
    cat build/configure-bench.log >&2
    exit 1
}
cmake --build --preset bench --target asyncdump asyncdump_agent bench_target read_ranges large_executable >&2

folder=build/bench
/usr/bin/python3 bench/dump/dump_bench.py "${options[@]}" \
    $folder/cli/asyncdump $folder/bench/dump/bench_target $folder/bench/dump/read_ranges \
    $folder/bench/dump/large
if $agent; then
    cmake --build --preset bench --target bench_agent
fi
