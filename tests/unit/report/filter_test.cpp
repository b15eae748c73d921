#include <catch2/catch.hpp>

#include "dump_builder.h"
#include "json_parts.h"
#include "rendered.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

MadeCoroutine named(const std::string& function) {
    MadeCoroutine made;
    made.function = function;
    made.waits_for = WaitKind::coroutine;
    return made;
}

/// Task 1 "upload": session -> write; task 2: session -> read, which runs on thread 12; a frame that stands
/// apart.
Dump two_tasks() {
    DumpBuilder builder;
    builder.chain({named("session()"), named("write(int)")});
    MadeCoroutine read = named("read(int)");
    read.state = CoroutineState::running;
    read.thread = 12;
    builder.chain({named("session()"), read});
    MadeCoroutine apart = named("stale(int)");
    apart.doubtful = true;
    builder.add(apart);
    builder.thread(11, "main");
    builder.thread(12, "worker");
    Dump dump = builder.build();
    dump.tasks[0].name = "upload";
    return dump;
}

using Texts = std::vector<std::string>;

struct Left {
    Texts tasks, functions, threads;
};

Left left_by(const ReportFilter& filter) {
    const std::string dump = as_json(two_tasks(), filter);
    return {each(dump, "tasks", "id"), each(dump, "coroutines", "function"), each(dump, "threads", "tid")};
}

Texts quoted(Texts names) {
    for (auto& name : names) name = '"' + name + '"';
    return names;
}

ReportFilter by_function(const char* expression) {
    ReportFilter filter;
    filter.function = std::regex(expression);
    return filter;
}

ReportFilter by_task(const char* expression) {
    ReportFilter filter;
    filter.task = std::regex(expression);
    return filter;
}

}  // namespace

TEST_CASE("without a filter everything is left") {
    const Left left = left_by({});
    CHECK(left.tasks == Texts{"1", "2"});
    CHECK(left.functions == quoted({"session()", "write(int)", "session()", "read(int)", "stale(int)"}));
    CHECK(left.threads == Texts{"11", "12"});
}

TEST_CASE("a function found anywhere in a tree keeps the whole tree, under its own number") {
    const Left left = left_by(by_function("^read"));
    CHECK(left.tasks == Texts{"2"});
    CHECK(left.functions == quoted({"session()", "read(int)"}));
    CHECK(left.threads == Texts{"11", "12"});
    CHECK(left_by(by_function("session")).tasks == Texts{"1", "2"});
    CHECK(left_by(by_function("none")).tasks.empty());
    CHECK(left_by(by_function("stale")).functions == quoted({"stale(int)"}));
}

TEST_CASE("a task is found by its name and by its functions") {
    CHECK(left_by(by_task("upl")).tasks == Texts{"1"});
    CHECK(left_by(by_task("read")).tasks == Texts{"2"});
    ReportFilter both = by_task("upl");
    both.function = std::regex("read");
    CHECK(left_by(both).tasks.empty());
    both.function = std::regex("write");
    CHECK(left_by(both).tasks == Texts{"1"});
}

TEST_CASE("a thread keeps itself and the trees that it runs") {
    ReportFilter filter;
    filter.thread = 12;
    const Left left = left_by(filter);
    CHECK(left.tasks == Texts{"2"});
    CHECK(left.functions == quoted({"session()", "read(int)"}));
    CHECK(left.threads == Texts{"12"});
}

TEST_CASE("tasks and threads can be left out as a whole") {
    ReportFilter filter;
    filter.tasks = false;
    Left left = left_by(filter);
    CHECK(left.tasks.empty());
    CHECK(left.functions.empty());
    CHECK(left.threads == Texts{"11", "12"});
    filter.tasks = true;
    filter.threads = false;
    left = left_by(filter);
    CHECK(left.tasks == Texts{"1", "2"});
    CHECK(left.threads.empty());

    CHECK(as_text(two_tasks(), {}, filter).find("THREADS") == std::string::npos);
    filter.tasks = false;
    CHECK(as_text(two_tasks(), {}, filter).find("session") == std::string::npos);
}

TEST_CASE("text says how much a filter left") {
    CHECK(as_text(two_tasks(), {}, by_function("^read")).find("TASKS: 1 of 2\n") != std::string::npos);
    CHECK(as_text(two_tasks(), {}, by_function("none")).find("TASKS: none of 2 matches\n") !=
          std::string::npos);
}

TEST_CASE("a name too long or an expression too complex is survived") {
    DumpBuilder builder;
    builder.add(named(std::string(1'000'000, 'a')));
    CHECK(as_json(builder.build(), by_function("^(a|aa)+$")).ends_with("}\n"));
}
