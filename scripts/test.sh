#!/usr/bin/env bash
# Everything that has to hold, in one command: installs what is missing, builds, runs all tests, the sanitizers and the
# style checks. Ends with the summary of the main test run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export LC_ALL=C.UTF-8
unset DEBUGINFOD_URLS  # the tests bring the debug files that they need
jobs=$(nproc)
if command -v ccache >/dev/null; then
    export CMAKE_C_COMPILER_LAUNCHER=ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi

step() {
    printf '\n== [%4d s] %s\n' "$SECONDS" "$1"
}

# configure PRESET [options...]
configure() {
    cmake --preset "$@" -DPython3_EXECUTABLE=/usr/bin/python3 >"build/configure-$1.log" 2>&1 || {
        cat "build/configure-$1.log"
        return 1
    }
    grep 'live tests: ' "build/configure-$1.log" || true
}

mkdir -p build

step "Packages"
scripts/install-dependencies.sh

step "Formatting"
git ls-files -z -- '*.cpp' '*.h' '*.c' ':!tests/targets/suspend_corpus.cpp' | xargs -0 --no-run-if-empty clang-format --dry-run -Werror
for script in scripts/*.sh .ci/run; do
    bash -n "$script"
done

step "Development build"
configure development
cmake --build --preset development --parallel "$jobs"

step "All tests"
# Tests wait now and then: one more than there are processors.
ctest --preset development --parallel "$((jobs + 1))" 2>&1 | tee build/tests.log

step "Unit tests with the address and undefined behaviour sanitizers"
configure asan
cmake --build --preset asan --parallel "$jobs" --target unit_base unit_graph unit_runtimes_frames
ctest --preset asan --parallel "$jobs" --tests-regex '^unit\.(base|graph|runtimes_frames):'

step "The agent with the thread sanitizer"
configure tsan
cmake --build --preset tsan --parallel "$jobs" --target unit_agent
ctest --preset tsan --parallel "$jobs" --tests-regex '^unit\.agent:'

step "clang's warnings and clang-tidy"
run-clang-tidy-16 -p build/development -quiet -j "$jobs" "^$PWD/(agent|injector|inspect|cli)/" >build/clang-tidy.log 2>&1 || {
    grep -E 'error:|warning:' build/clang-tidy.log || tail -n 40 build/clang-tidy.log
    exit 1
}

step "Done"
sed -n '/tests passed/,$p' build/tests.log
