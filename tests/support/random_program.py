#!/usr/bin/env python3
"""Writes a C++ program of coroutines that nobody would write, and that tells the truth about itself (tests/targets/truth.h).

    random_program.py SEED FILE

What differs from seed to seed: where a promise keeps the coroutine that awaits it, how a task is awaited and how it ends,
what else lies in promises and frames, who awaits whom, in which statements a co_await stands, and what a leaf waits for.
The same seed gives the same program.
"""

import pathlib
import random
import sys
from dataclasses import dataclass, field

PRELUDE = """\
#include <coroutine>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "truth.h"

volatile int zero = 0;

struct Ready {
    int value;
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    int await_resume() const noexcept { return value; }
};
std::deque<std::coroutine_handle<>> ready_queue;
struct Yield {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) const { ready_queue.push_back(self); }
    void await_resume() const noexcept {}
};
void run() {
    while (!ready_queue.empty()) {
        auto next = ready_queue.front();
        ready_queue.pop_front();
        next.resume();
    }
}

// What leaves wait for: a queue of timers, an event with a list of waiters, callbacks with and without a state of their own.
struct Timers {
    std::multimap<long, std::coroutine_handle<>> queue;
    struct Sleep {
        Timers* timers;
        long at;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> self) { timers->queue.emplace(at, self); }
        int await_resume() { return 1; }
    };
    Sleep sleep(long at) { return {this, at}; }
} timers;
struct Event {
    struct Wait {
        Event& event;
        Wait* next = nullptr;
        std::coroutine_handle<> self;
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> handle) {
            self = handle;
            next = std::exchange(event.waiters, this);
        }
        int await_resume() { return 2; }
    };
    Wait* waiters = nullptr;
    Wait operator co_await() { return Wait{*this}; }
} event;
std::vector<std::function<void(int)>> callbacks;
struct Io {
    int result;
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> self) {
        callbacks.push_back([this, self](int value) { result = value; self.resume(); });
    }
    int await_resume() { return result; }
};
struct SharedIo {
    std::shared_ptr<int> result = std::make_shared<int>(0);
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> self) {
        callbacks.push_back([result = result, self](int value) { *result = value; self.resume(); });
    }
    int await_resume() { return *result; }
};
"""

LEAF_WAITS = ["event", "timers.sleep(9)", "Io{3}", "Io{zero}", "SharedIo{}"]

# Member of the promise, how the awaiting coroutine is put there, how it is had back.
CONTINUATIONS = {
    "handle": ("std::coroutine_handle<> next;", "next = parent;", "next"),
    "optional": ("std::optional<std::coroutine_handle<>> next;", "next = parent;",
                 "next.value_or(std::coroutine_handle<>())"),
    "variant": ("std::variant<std::monostate, std::coroutine_handle<>, std::exception_ptr> next;",
                "next = std::coroutine_handle<>(parent);",
                "next.index() == 1 ? std::get<1>(next) : std::coroutine_handle<>()"),
    "function": ("std::function<std::coroutine_handle<>()> next;",
                 "std::coroutine_handle<> handle = parent; next = [handle] { return handle; };",
                 "next ? next() : std::coroutine_handle<>()"),
    "address": ("void* next = nullptr;", "next = std::coroutine_handle<>(parent).address();",
                "std::coroutine_handle<>::from_address(next)"),
    "shared": ("struct State { std::coroutine_handle<> handle; int more[4] = {}; };"
               " std::shared_ptr<State> next = std::make_shared<State>();", "next->handle = parent;", "next->handle"),
    "unique": ("struct State { long before = 1; std::coroutine_handle<> handle; };"
               " std::unique_ptr<State> next = std::make_unique<State>();", "next->handle = parent;", "next->handle"),
    "vector": ("std::vector<std::coroutine_handle<>> next;", "next.push_back(parent);",
               "next.empty() ? std::coroutine_handle<>() : next[0]"),
}
PADDING = ["std::uint64_t pad{0}[{1}] = {{}};", "std::string text{0} = \"a long text that lies on the heap\";",
           "char bytes{0}[3] = {{}};", "std::exception_ptr error{0};", "bool flag{0} = false;"]
AT_END = {
    "transfer": "std::coroutine_handle<> await_suspend(std::coroutine_handle<P> self) noexcept {"
                " auto next = self.promise().continuation(); return next ? next : std::noop_coroutine(); }",
    "resume": "void await_suspend(std::coroutine_handle<P> self) noexcept {"
              " if (auto next = self.promise().continuation()) next.resume(); }",
    "post": "void await_suspend(std::coroutine_handle<P> self) noexcept {"
            " if (auto next = self.promise().continuation()) ready_queue.push_back(next); }",
}
LATCHES = {
    "in the awaiter": "Latch latch; Latch& its_latch() { return latch; }",
    "shared": "std::shared_ptr<Latch> latch = std::make_shared<Latch>(); Latch& its_latch() { return *latch; }",
    "unique": "std::unique_ptr<Latch> latch = std::make_unique<Latch>(); Latch& its_latch() { return *latch; }",
    "leaked": "Latch* latch = new Latch(); Latch& its_latch() { return *latch; }",
}
JOIN = """\
struct Latch {
    int left = 0;
    std::coroutine_handle<> waiter;
    void hit() { if (--left == 0 && waiter) waiter.resume(); }
};
struct Part {
    struct promise_type {
        %(padding)s Latch* latch = nullptr;
        Part get_return_object() { return Part{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            void await_suspend(std::coroutine_handle<promise_type> self) noexcept { self.promise().latch->hit(); }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
    explicit Part(std::coroutine_handle<promise_type> handle) : self(handle) {}
    Part(Part&& other) noexcept : self(std::exchange(other.self, nullptr)) {}
    ~Part() { if (self) self.destroy(); }
    std::coroutine_handle<promise_type> self;
};
template <class Task> Part part(Task task) {
    (void)co_await std::move(task);  // @part
}
struct All {
    std::vector<Part> parts;
    %(latch)s
    bool await_ready() { return parts.empty(); }
    bool await_suspend(std::coroutine_handle<> self) {
        its_latch().left = static_cast<int>(parts.size()) + 1;
        its_latch().waiter = self;
        for (Part& each : parts) {
            each.self.promise().latch = &its_latch();
            each.self.resume();
        }
        return --its_latch().left != 0;
    }
    int await_resume() { return 0; }
};
template <class... Tasks> All when_all(Tasks&&... tasks) {
    All all;
    (all.parts.push_back(part(std::move(tasks))), ...);
    return all;
}
struct Detached {
    struct promise_type {
        Detached get_return_object() { return {}; }
        std::suspend_never initial_suspend() { return {}; }
        std::suspend_never final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() { std::abort(); }
    };
};
"""
RESULTS = {"int": "1", "double": "1.5", "std::string": "std::string(\"x\")"}


@dataclass
class TaskType:
    name: str
    awaited: str   # how: "by operator", "by rvalue", "by transform", "by member", "by reference"
    is_lazy: bool


@dataclass
class Function:
    name: str
    type: TaskType
    result: str
    kind: str                                     # "free", "member", "static", "template", "lambda"
    children: list = field(default_factory=list)  # several: joined by when_all
    line: int = 0

    def shown_name(self):
        return "lambda::operator()" if self.kind == "lambda" else self.name


class Program:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lines = []
        self.names = 0

    def write(self, text):
        self.lines += text.rstrip("\n").split("\n")

    def chance(self, share):
        return self.random.random() < share

    def padding(self, most):
        choose = self.random
        return " ".join(choose.choice(PADDING).format(i, choose.randint(1, 5)) for i in range(choose.randint(0, most)))

    # ---- task types

    def write_task_type(self, number):
        choose = self.random
        member, keep, take = CONTINUATIONS[choose.choice(list(CONTINUATIONS))]
        task = TaskType(f"Task{number}", choose.choice(["by operator", "by rvalue", "by transform", "by member",
                                                        "by reference"]), self.chance(.67))
        has_base, is_aligned, has_new = self.chance(.3), self.chance(.15), self.chance(.25)
        initial = "always" if task.is_lazy else "never"
        base = ""
        if has_base:
            self.write(f"struct Base{number} {{ virtual ~Base{number}() = default; long counts[{choose.randint(1, 4)}] = {{}}; }};")
            base = f" : Base{number}"
        self.write(f"template <class V> class {task.name} {{\n  public:")
        self.write(f"""\
    struct {"alignas(64) " if is_aligned else ""}promise_type{base} {{
        {self.padding(3)} {member} std::optional<V> value;
        {task.name} get_return_object() {{ return {task.name}(std::coroutine_handle<promise_type>::from_promise(*this)); }}
        std::suspend_{initial} initial_suspend() noexcept {{ return {{}}; }}
        template <class P> struct Final {{
            bool await_ready() noexcept {{ return false; }}
            {AT_END[choose.choice(list(AT_END))]}
            void await_resume() noexcept {{}}
        }};
        Final<promise_type> final_suspend() noexcept {{ return {{}}; }}
        std::coroutine_handle<> continuation() {{ return {take}; }}
        template <class H> void set_continuation(H parent) {{ {keep} }}
        void unhandled_exception() {{ std::abort(); }}
        void return_value(V result) {{ value = std::move(result); }}""")
        if has_new:
            self.write("        static void* operator new(std::size_t size) {"
                       " return std::aligned_alloc(64, (size + 63) / 64 * 64); }\n"
                       "        static void operator delete(void* frame) { std::free(frame); }")
        if task.awaited == "by transform":
            self.write("        template <class A> decltype(auto) await_transform(A&& a) { return std::forward<A>(a); }")
        self.write("    };")
        self.write_awaiter(task)
        self.write(f"""\
    explicit {task.name}(std::coroutine_handle<promise_type> handle) : self(handle) {{}}
    {task.name}({task.name}&& other) noexcept : self(std::exchange(other.self, nullptr)) {{}}
    ~{task.name}() {{ if (self) self.destroy(); }}
    void start() {{ {"self.resume();" if task.is_lazy else ""} }}
    std::coroutine_handle<promise_type> self;
}};""")
        return task

    def write_awaiter(self, task):
        def suspend(child):
            result, after = ("std::coroutine_handle<>", f"return {child};") if task.is_lazy else ("void", "")
            return (f"template <class P> {result} await_suspend(std::coroutine_handle<P> parent) noexcept {{"
                    f" {child}.promise().set_continuation(parent); {after} }}")

        def awaiter(members, child, ready):
            return (f"    struct Awaiter {{ {members} bool await_ready() noexcept {{ return {ready}; }} {suspend(child)}"
                    f" V await_resume() {{ return *{child}.promise().value; }} }};")

        if task.awaited == "by member":
            self.write(f"    bool await_ready() noexcept {{ return !self || self.done(); }} {suspend('self')}"
                       " V await_resume() { return *self.promise().value; }")
        elif task.awaited == "by reference":
            self.write(awaiter(f"{task.name}& task;", "task.self", "task.self.done()"))
            self.write("    Awaiter operator co_await() & { return Awaiter{*this}; }"
                       " Awaiter operator co_await() && { return Awaiter{*this}; }")
        elif task.awaited == "by rvalue":
            self.write(awaiter(f"{task.name} task; int more = 5;", "task.self", "task.self.done()"))
            self.write("    Awaiter operator co_await() && { return Awaiter{std::move(*this)}; }")
        else:
            self.write(awaiter("std::coroutine_handle<promise_type> self;", "self", "!self || self.done()"))
            self.write("    Awaiter operator co_await() const noexcept { return Awaiter{self}; }")

    # ---- bodies

    def new_name(self):
        self.names += 1
        return f"local_{self.names}"

    def write_noise(self, indent):
        """A statement that comes to its end."""
        name = self.new_name()
        statement = self.random.choice([
            f"int {name} = static_cast<int>(count_calls()) + 7;",
            f"std::string {name} = \"text \" + std::to_string(zero);",
            "co_await Ready{1};",
            "if (zero) co_await Yield{};",
            f"for (int i = 0; i < zero; ++i) {{ co_await Yield{{}}; co_await Ready{{i}}; }}",
            "if (zero) { co_await timers.sleep(3); } else { co_await Ready{2}; }",
            "co_await Yield{};",
            "try { co_await Ready{3}; if (zero) throw 1; } catch (int) {}",
            f"{{ std::vector<int> {name}(3); truth::show({name}); co_await Yield{{}}; }}"])
        self.write(indent + statement)

    def write_noises(self, indent, most):
        for _ in range(self.random.randint(0, most)):
            self.write_noise(indent)

    def write_wait(self, awaited, indent="    "):
        """The co_await at which the coroutine stays, somewhere inside statements. -> its line"""
        ends = []
        for _ in range(self.random.randint(0, 2)):
            name = self.new_name()
            begin, end = self.random.choice([
                ("if (!zero) {", "}"), ("for (int k = 0; k < 3 - zero; ++k) {", "}"), ("while (!zero) {", "}"),
                ("try {", "} catch (const std::exception& error) { puts(error.what()); }"),
                (f"{{ std::string {name} = \"guard of a block in a coroutine\"; truth::show({name});", "}"),
                ("switch (int(zero)) { case 1: co_await Yield{}; break; case 0: {", "} break; default: co_await Ready{4}; }")])
            self.write(indent + begin)
            ends.append(indent + end)
            indent += "    "
            if self.chance(.4):
                self.write_noise(indent)
        form = self.random.choice(["co_await {};", "auto result = co_await {}; truth::show(result);", "(void)(co_await {});"])
        self.write(indent + form.replace("{}", awaited))
        line = len(self.lines)
        if self.chance(.4):
            self.write_noise(indent)
        for end in reversed(ends):
            self.write(end)
        return line

    def call(self, function):
        argument = self.random.randint(1, 9)
        prefix = {"member": "service.", "static": "Service::"}.get(function.kind, "")
        return f"{prefix}{function.name}{'<long>' if function.kind == 'template' else ''}({argument})"

    def write_function(self, function):
        returned = f"{function.type.name}<{function.result}>"
        self.write({
            "member": f"{returned} Service::{function.name}(int argument) {{",
            "static": f"{returned} Service::{function.name}(int argument) {{",
            "template": f"template <class X> {returned} {function.name}(X argument) {{",
            "lambda": f"auto {function.name} = [kept = std::string(\"a captured text that is long\")](int argument)"
                      f" -> {returned} {{",
            "free": f"{returned} {function.name}(int argument, std::string text = \"default\") {{"}[function.kind])
        self.write_noises("    ", 3)
        if not function.children:
            awaited = self.random.choice(LEAF_WAITS)
        elif len(function.children) > 1:
            awaited = "when_all(" + ", ".join(self.call(child) for child in function.children) + ")"
        else:
            [child] = function.children
            awaited = self.call(child)
            if child.type.awaited in ("by operator", "by rvalue", "by reference") and self.chance(.5):
                self.write(f"    auto child = {awaited};")
                self.write_noises("    ", 1)
                awaited = "std::move(child)" if child.type.awaited == "by rvalue" else "child"
        function.line = self.write_wait(awaited)
        self.write_noises("    ", 2)
        self.write(f"    truth::show(argument);\n    co_return {RESULTS[function.result]};\n}}"
                   + (";" if function.kind == "lambda" else ""))

    # ---- the whole

    def functions_to_write(self, types):
        choose, functions = self.random, []
        for number in range(choose.randint(4, 9)):
            function = Function(f"f{number}", choose.choice(types), choose.choice(list(RESULTS)),
                                choose.choice(["free", "member", "static", "template", "lambda"]))
            if number >= 2 and not self.chance(.15):
                function.children = [choose.choice(functions) for _ in range(choose.choice([1, 1, 1, 2, 3]))]
            functions.append(function)
        return functions

    def write_all(self, source):
        choose = self.random
        self.write(PRELUDE)
        types = [self.write_task_type(number) for number in range(choose.randint(2, 4))]
        self.write(JOIN % {"padding": self.padding(1), "latch": LATCHES[choose.choice(list(LATCHES))]})
        part_line = next(number for number, line in enumerate(self.lines, 1) if line.endswith("// @part"))
        functions = self.functions_to_write(types)
        self.write("struct Service {\n    std::string name = \"service\";\n    long calls = 0;")
        for function in functions:
            if function.kind in ("member", "static"):
                prefix = "static " if function.kind == "static" else ""
                self.write(f"    {prefix}{function.type.name}<{function.result}> {function.name}(int argument);")
        self.write("};\nService service;\n[[gnu::noinline]] long count_calls() { return service.calls; }")
        for function in functions:
            self.write_function(function)
        detached = []
        for number in range(choose.randint(0, 2)):
            child = choose.choice(functions)
            self.write(f"Detached detached{number}(int argument) {{")
            self.write_noises("    ", 2)
            line = self.write_wait(self.call(child))
            self.write("    truth::show(argument);\n}")
            detached.append((f"detached{number}", line, child))

        paths, count = [], 0

        def follow(function, before):
            nonlocal count
            count += 1
            here = before + [f"{function.shown_name()}@{function.line}"]
            for child in function.children:
                count += len(function.children) > 1
                follow(child, here + ([f"part@{part_line}"] if len(function.children) > 1 else []))
            if not function.children:
                paths.append(here)

        self.write(f"int main() {{\n    truth::begin(\"{source}\");")
        roots = choose.randint(2, 5)
        for number in range(roots):
            root = choose.choice(functions[1:])
            kept = choose.choice([f"static auto root{number} = {self.call(root)}; root{number}.start();",
                                  f"static auto* root{number} = new auto({self.call(root)}); root{number}->start();"
                                  f" truth::show(root{number});"])
            self.write("    " + kept)
            follow(root, [])
        for name, line, child in detached:
            self.write(f"    {name}(3);")
            count += 1
            follow(child, [f"{name}@{line}"])
        self.write("    run();")
        for path in paths:
            self.write(f"    puts(\"chain {' > '.join(path)}\");")
        self.write(f"    puts(\"count {count}\\nedges {count - roots - len(detached)}\");\n    truth::ready();\n    truth::block();\n}}")


def main():
    seed, target = int(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    program = Program(seed)
    program.write_all(target)
    target.write_text("\n".join(program.lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
