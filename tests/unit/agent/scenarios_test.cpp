// Programs that check themselves while they run under the agent: tests/targets/agent_scenarios.cpp.
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>

#include "agent/registry_layout.h"
#include "agent_registry_reader.h"
#include "agent_target.h"

using namespace agent_test;

namespace {

void expect_success(const std::string& program, const std::string& scenario, const std::string& preload,
                    Environment environment = {}) {
    INFO(program << " " << scenario << " under " << preload);
    if (!preload.empty()) environment.emplace_back("LD_PRELOAD", preload);
    environment.emplace_back("AGENT_TEST_PLUGIN", kTargets + "agent_plugin.so");
    environment.emplace_back("AGENT_TEST_LIBRARY", kAgent);
    const Outcome outcome = run({kTargets + program, scenario}, environment);
    INFO(outcome.output << outcome.errors);
    CHECK(outcome.status == 0);
    CHECK(outcome.errors.empty());
}

void in_all_variants(const std::string& scenario, const Environment& environment = {}) {
    for (const auto& variant : variants())
        expect_success("agent_scenarios_" + variant, scenario, kAgent, environment);
}

struct Header {
    unsigned state = 99;
    unsigned flags = 0;
};

Header header_of(const Outcome& outcome) {
    Header header;
    const auto place = outcome.output.find("state ");
    if (place != std::string::npos)
        std::sscanf(outcome.output.c_str() + place, "state %u flags %u", &header.state, &header.flags);
    return header;
}

}  // namespace

TEST_CASE("A frame is recorded with size, thread and time, and gone when destroyed") {
    in_all_variants("record");
}
TEST_CASE("The creation stack leads through the callers") {
    in_all_variants("stack", {{"ASYNCDUMP_AGENT", "stack=8"}});
}
TEST_CASE("Without stacks the allocation site remains") {
    in_all_variants("no_stack", {{"ASYNCDUMP_AGENT", "stack=0"}});
}
TEST_CASE("Rubbish in the frame pointer does no harm") {
    in_all_variants("false_frame_pointers", {{"ASYNCDUMP_AGENT", "stack=32"}});
}
TEST_CASE("All forms of allocation are seen and undone") {
    in_all_variants("forms");
}
TEST_CASE("A wrapper that serves other sizes too hides no frame") {
    in_all_variants("shared_wrapper");
}
TEST_CASE("A wrong verdict is noticed by samples and said") {
    in_all_variants("late_verdict");
}
TEST_CASE("Blocks that are never freed are judged") {
    in_all_variants("plain_that_stays");
}
TEST_CASE("A promise that allocates does not mislead the verdict") {
    in_all_variants("busy_promise");
}
TEST_CASE("The block of an over-aligned frame is registered") {
    in_all_variants("over_aligned_frame");
}
TEST_CASE("Frames outlive their threads") {
    in_all_variants("threads");
}
TEST_CASE("A forked child has a registry of its own") {
    in_all_variants("fork_child");
}
TEST_CASE("fork while other threads allocate") {
    in_all_variants("fork_under_load");
}
TEST_CASE("Plugins with coroutines come and go") {
    in_all_variants("plugins");
}
TEST_CASE("bad_alloc, new handlers and errno are as without the agent") {
    in_all_variants("out_of_memory");
}
TEST_CASE("Without memory for the registry the program runs on and the header says so") {
    in_all_variants("no_memory");
}
TEST_CASE("realloc of a registered block") {
    in_all_variants("reallocation");
}
TEST_CASE("malloc is recorded when asked for") {
    in_all_variants("malloc_recorded", {{"ASYNCDUMP_AGENT", "malloc=1"}});
    in_all_variants("malloc_not_recorded");
}
TEST_CASE("Tasks, labels and scopes have names") {
    in_all_variants("names");
}
TEST_CASE("Names of destroyed tasks make room for others") {
    expect_success("agent_no_pie", "names_without_end", kAgent);
}
TEST_CASE("A coroutine names itself") {
    in_all_variants("names_from_within");
}
TEST_CASE("Frames in a program's own memory") {
    in_all_variants("explicit_frames");
}
TEST_CASE("The agent loaded into a running program waits for its injector") {
    for (const auto& variant : variants()) expect_success("agent_scenarios_" + variant, "loaded_late", "");
}
TEST_CASE("The annotation header does nothing without the agent") {
    for (const auto& variant : variants()) expect_success("agent_scenarios_" + variant, "without_agent", "");
    expect_success("agent_no_pie", "without_agent", "");
}
TEST_CASE("The annotation header finds the agent from a fixed-position executable") {
    expect_success("agent_no_pie", "names", kAgent);
}
TEST_CASE("Signals that allocate at any instruction of the agent") {
    for (const auto& variant : variants())
        expect_success("agent_scenarios_" + variant, "signals",
                       kAgent + ":" + kTargets + "agent_safe_malloc.so");
}

TEST_CASE("Static and thread-local objects destroy their frames at the end") {
    for (const auto& variant : variants()) {
        const Outcome outcome =
            run({kTargets + "agent_scenarios_" + variant, "static_destruction"}, {{"LD_PRELOAD", kAgent}});
        CHECK(outcome.status == 0);
        CHECK(outcome.output == "destroyed statically\ndestroyed statically\n");
    }
}

TEST_CASE("Programs started by the target do not inherit the agent unless asked to") {
    for (const auto& variant : variants()) {
        const std::string program = kTargets + "agent_scenarios_" + variant;
        CHECK(run({program, "exec_child"}, {{"LD_PRELOAD", kAgent}}).output == "preload=unset\n");
        CHECK(run({program, "exec_child"}, {{"LD_PRELOAD", kAgent + ":libc.so.6"}}).output ==
              "preload=libc.so.6\n");
        const Outcome children =
            run({program, "exec_child"}, {{"LD_PRELOAD", kAgent}, {"ASYNCDUMP_AGENT", "children=1"}});
        CHECK(children.output == "preload=" + kAgent + "\n");
    }
}

TEST_CASE("Each wrong option is said once and ignored") {
    const std::string program = kTargets + "agent_no_pie";
    const Outcome outcome = run(
        {program, "flags"}, {{"LD_PRELOAD", kAgent}, {"ASYNCDUMP_AGENT", "stak=3,stack=99,malloc=1,stak=3"}});
    CHECK(outcome.status == 0);
    CHECK(outcome.errors ==
          "asyncdump: ASYNCDUMP_AGENT: ignoring \"stak=3\"; known are stack=0..32, malloc=0|1, children=0|1\n"
          "asyncdump: ASYNCDUMP_AGENT: ignoring \"stack=99\"; known are stack=0..32, malloc=0|1, "
          "children=0|1\n");
    CHECK((header_of(outcome).flags & ASYNCDUMP_FLAG_MALLOC) != 0);
}

TEST_CASE("Other allocators preloaded behind the agent") {
    for (const std::string allocator : {AGENT_TEST_TCMALLOC, AGENT_TEST_JEMALLOC}) {
        if (allocator.empty()) {
            std::cout << "skipped for one allocator: tcmalloc or jemalloc is not installed\n";
            continue;
        }
        for (const auto& variant : variants())
            for (const std::string scenario :
                 {"record", "forms", "shared_wrapper", "plain_that_stays", "threads", "fork_child", "plugins",
                  "reallocation", "names", "static_destruction", "over_aligned_frame"})
                expect_success("agent_scenarios_" + variant, scenario, kAgent + ":" + allocator);
    }
}

TEST_CASE("The header tells when operator new is not the agent's") {
    SECTION("interposed") {
        const Header header = header_of(run({kTargets + "agent_no_pie", "flags"}, {{"LD_PRELOAD", kAgent}}));
        CHECK(header.state == ASYNCDUMP_STATE_RECORDING);
        CHECK(header.flags == (ASYNCDUMP_FLAG_INTERPOSED | ASYNCDUMP_FLAG_DIRECT));
    }
    SECTION("the executable has its own") {
        const Outcome outcome = run({kTargets + "agent_own_new"}, {{"LD_PRELOAD", kAgent}});
        CHECK(outcome.status == 0);
        const Header header = header_of(outcome);
        CHECK(header.state == ASYNCDUMP_STATE_UNHOOKED);
        CHECK((header.flags & ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW) != 0);
        CHECK((header.flags & ASYNCDUMP_FLAG_INTERPOSED) == 0);
    }
    SECTION("the executable contains the C++ library") {
        const Outcome outcome = run({kTargets + "agent_static_library"}, {{"LD_PRELOAD", kAgent}});
        CHECK(outcome.status == 0);
        CHECK((header_of(outcome).flags &
               (ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW | ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW)) != 0);
    }
    SECTION("an allocator comes before the agent") {
        const std::string allocator = AGENT_TEST_TCMALLOC;
        if (allocator.empty()) {
            std::cout << "skipped: tcmalloc is not installed\n";
            return;
        }
        const Outcome outcome =
            run({kTargets + "agent_no_pie", "flags"}, {{"LD_PRELOAD", allocator + ":" + kAgent}});
        CHECK(outcome.status == 0);
        CHECK((header_of(outcome).flags & ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW) != 0);
    }
}

TEST_CASE("A C program runs under the agent") {
    const Outcome outcome = run({"/bin/sh", "-c", "ls / >/dev/null && echo fine"}, {{"LD_PRELOAD", kAgent}});
    CHECK(outcome.status == 0);
    CHECK(outcome.output == "fine\n");
    CHECK(outcome.errors.empty());
}

TEST_CASE("Being looked at does not grow the target") {
    Target target({kTargets + "agent_no_pie", "wait"}, {{"LD_PRELOAD", kAgent}});
    unsigned long address = 0;
    REQUIRE(std::sscanf(target.line().c_str(), "registry %lx", &address) == 1);
    const auto resident = [&] {
        std::ifstream file("/proc/" + std::to_string(target.process()) + "/smaps_rollup");
        for (std::string line; std::getline(file, line);) {
            long kilobytes = 0;
            if (std::sscanf(line.c_str(), "Rss: %ld", &kilobytes) == 1) return kilobytes;
        }
        return -1L;
    };
    const long before = resident();
    const auto registry = Registry::open(memory_of(target.process()), address);
    REQUIRE(registry);
    CHECK(registry->entries().size() >= 10);
    CHECK(resident() - before <= 64);
    CHECK(target.finish() == 0);
}
