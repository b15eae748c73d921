#!/usr/bin/env python3
"""Makes an executable with very much debug information and thousands of coroutine functions, quickly.

    large_executable.py [--functions N] COMPILER OUTPUT

One translation unit is compiled. All others are copies of its object file in which the name of the unit's namespace is
replaced by another one of the same length: symbols, debug information and COMDAT groups of the copies differ then as
those of units that were compiled, at the cost of copying a file.

The executable, OUTPUT FUNCTIONS DEPTH, suspends a coroutine of each of the first FUNCTIONS functions, in chains of 5, prints
READY from below DEPTH calls and blocks. Ends when its input does.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

MIB = 1 << 20
FUNCTIONS_OF_A_UNIT = 100
CHAIN = 5

HEADER = r"""
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace large {
struct Task {
    struct promise_type {
        std::coroutine_handle<> continuation;
        Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct Continue {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> done) noexcept {
                    return done.promise().continuation;
                }
                void await_resume() noexcept {}
            };
            return Continue{};
        }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
    std::coroutine_handle<promise_type> handle;
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> continuation) noexcept {
        handle.promise().continuation = continuation;
        return handle;
    }
    void await_resume() const noexcept {}
};
struct Event {
    std::vector<std::coroutine_handle<>> waiters;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiter) { waiters.push_back(waiter); }
    void await_resume() const noexcept {}
};
using Starter = Task (*)(Event& event, Task* awaited);
}  // namespace large
"""

# A type with members and functions as the messages, rows and configurations of a server have, and one of its functions in
# use, so that there is code with inlined calls, variables and lines.
RECORD = r"""
template <int Number>
struct Record {
    struct Key {
        std::uint64_t high = Number, low = 0;
        bool operator<(const Key& other) const { return std::pair(high, low) < std::pair(other.high, other.low); }
    };
    enum class State { created, queued, running, failed, finished };
    Key key;
    std::string name, description, owner;
    std::vector<std::string> labels;
    std::map<Key, std::string> attributes;
    std::optional<std::chrono::milliseconds> timeout;
    std::unique_ptr<Record> parent;
    State state = State::created;
    const std::string& get_name() const { return name; }
    const std::string& get_description() const { return description; }
    const std::string& get_owner() const { return owner; }
    void set_name(std::string value) { name = std::move(value); }
    void set_description(std::string value) { description = std::move(value); }
    void set_owner(std::string value) { owner = std::move(value); }
    void set_state(State value) { state = value; }
    bool is_finished() const { return state == State::finished || state == State::failed; }
    bool matches(const Key& wanted, std::optional<State> wanted_state, const std::vector<std::string>& wanted_labels) const;
    void merge(const Record& other, bool replace, std::size_t most);
    template <class Visitor> void visit(Visitor&& visitor) { visitor(name); visitor(description); visitor(owner); }
    [[gnu::noinline]] std::size_t measure(std::size_t scale) const {
        std::size_t total = get_name().size() * scale;
        for (std::size_t i = 0; i < scale; ++i) {
            const std::size_t part = get_description().size() + get_owner().size() + i * Number;
            if (part % 7 == 3) total += part;
        }
        return is_finished() ? total : total + key.low;
    }
};
"""


def coroutine_function(number, place):
    """One of a chain awaits the next; the last awaits the event."""
    record = f"Record<{number}>"
    last = place == CHAIN - 1
    wait = "co_await event;" if last else "co_await *awaited;"
    return f"""
Task step_{number}(Event& event, Task* awaited) {{
    {record} record;
    record.key.low = event.waiters.size();
    if (record.measure(event.waiters.size()) == {number + 1}) {{
        co_await event;
    }}
    {wait}
    std::printf("%zu\\n", record.measure(3));
}}
"""


def unit_source():
    text = [HEADER, "namespace unit0000 {\nusing namespace large;\n", RECORD]
    for number in range(FUNCTIONS_OF_A_UNIT):
        text.append(coroutine_function(number, number % CHAIN))
    text.append("extern const Starter starters[] = {")
    text.extend(f"step_{number}, " for number in range(FUNCTIONS_OF_A_UNIT))
    text.append("};\n")
    text.append("}  // namespace unit0000\n")
    return "".join(text)


def main_source(units):
    declarations = "".join(f"namespace unit{i:04} {{ extern const large::Starter starters[]; }}\n" for i in range(units))
    table = ", ".join(f"unit{i:04}::starters" for i in range(units))
    return HEADER + declarations + f"""
namespace {{
const large::Starter* const units[] = {{{table}}};
[[gnu::noinline]] int dive(int depth) {{
    volatile int here = depth;
    if (depth > 1) {{
        here = here + dive(depth - 1);
    }} else {{
        std::puts("READY");
        std::fflush(stdout);
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0) continue;
        _exit(0);
    }}
    return here;
}}
}}
int main(int argc, char** argv) {{
    if (argc != 3) return 64;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static large::Event event;
    static std::vector<large::Task> tasks;
    const int count = std::atoi(argv[1]) / {CHAIN} * {CHAIN};
    tasks.reserve(static_cast<std::size_t>(count));
    for (int first = 0; first < count; first += {CHAIN}) {{
        large::Task* awaited = nullptr;
        for (int i = first + {CHAIN} - 1; i >= first; --i) {{
            tasks.push_back(units[i / {FUNCTIONS_OF_A_UNIT}][i % {FUNCTIONS_OF_A_UNIT}](event, awaited));
            awaited = &tasks.back();
        }}
        tasks.back().handle.promise().continuation = std::noop_coroutine();
        tasks.back().handle.resume();
    }}
    return dive(std::atoi(argv[2]));
}}
"""


def debug_bytes(path):
    """Bytes of the sections that hold debug information."""
    lines = subprocess.run(["size", "-A", "-d", path], check=True, capture_output=True, text=True).stdout.splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(".debug"))


def compiled(compiler, folder, name, source):
    (folder / f"{name}.cpp").write_text(source)
    subprocess.run([compiler, "-std=c++20", "-O1", "-g", "-fno-eliminate-unused-debug-types", "-c", f"{name}.cpp", "-o",
                    f"{name}.o"], cwd=folder, check=True)
    return folder / f"{name}.o"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=5000, help="coroutine functions: 13 MiB of debug information a hundred")
    parser.add_argument("compiler")
    parser.add_argument("output")
    options = parser.parse_args()

    units = options.functions // FUNCTIONS_OF_A_UNIT
    with tempfile.TemporaryDirectory(dir=pathlib.Path(options.output).resolve().parent) as temporary:
        folder = pathlib.Path(temporary)
        first = compiled(options.compiler, folder, "unit0000", unit_source())
        objects = [first, compiled(options.compiler, folder, "main", main_source(units))]
        content = first.read_bytes()
        for i in range(1, units):
            objects.append(folder / f"unit{i:04}.o")
            objects[-1].write_bytes(content.replace(b"unit0000", f"unit{i:04}".encode()))
        subprocess.run([options.compiler, "-Wl,--build-id", *objects, "-o", options.output], check=True)
    print(f"{options.output}: {debug_bytes(options.output) / MIB:.0f} MiB of debug information, {units * FUNCTIONS_OF_A_UNIT} "
          "coroutine functions")


if __name__ == "__main__":
    sys.exit(main())
