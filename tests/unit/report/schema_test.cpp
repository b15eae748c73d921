// Made-up dumps against docs/dump.schema.json, by the validator that the tests with real targets use as well.
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>

#include "dump_builder.h"
#include "rendered.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

constexpr int package_missing = 77;

/// The validator's exit status. What it finds goes to our standard error.
int validate(const std::string& text) {
    std::FILE* const validator = ::popen("'" PYTHON_EXECUTABLE "' '" SCHEMA_VALIDATOR "'", "w");
    REQUIRE(validator != nullptr);
    std::fwrite(text.data(), 1, text.size(), validator);
    const int status = ::pclose(validator);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/// False, with the reason printed, when the dumps cannot be validated here.
bool can_validate() {
    static const bool can = validate("{}") != package_missing;
    if (!can) WARN("skipped: the Python package jsonschema is missing (Debian: python3-jsonschema)");
    return can;
}

}  // namespace

TEST_CASE("an empty dump follows the schema") {
    if (!can_validate()) return;
    DumpBuilder builder;
    CHECK(validate(as_json(builder.build())) == 0);
}

TEST_CASE("a dump with everything in it follows the schema") {
    if (!can_validate()) return;
    DumpBuilder builder;
    for (const auto state : {CoroutineState::suspended, CoroutineState::running, CoroutineState::created,
                             CoroutineState::done, CoroutineState::unknown}) {
        for (const auto kind : {WaitKind::coroutine, WaitKind::timer, WaitKind::io, WaitKind::lock,
                                WaitKind::channel, WaitKind::other, WaitKind::unknown}) {
            MadeCoroutine made;
            made.state = state;
            made.waits_for = kind;
            made.type = "Event";
            made.line = 7;
            made.column = 3;
            made.thread = state == CoroutineState::running ? 11 : 0;
            builder.chain({made, made});
        }
    }
    MadeCoroutine apart;
    apart.doubtful = true;
    builder.add(apart);
    CoroutineDetails& details = builder.details(0);
    details.variables.push_back({"text", "std::string", "\"x\"", false});
    builder.observation.creation_stacks.push_back({DumpBuilder::frame("main")});
    builder.observation.scopes.push_back({"request 17"});
    builder.observation.names.push_back({"session", "waiting"});
    details.created = Creation{builder.dump().capture.at, 5, 0, 0, 0};
    details.name = 0;
    for (const char* const state : {"running", "sleeping", "disk", "stopped", "zombie", "unknown", ""}) {
        builder.thread(11, "worker", state).frames.push_back(DumpBuilder::frame("main", "/src/main.cpp", 3));
    }
    for (const char* const kind : {"mutex", "condition", "futex", "join", "io", "sleep", "other"}) {
        builder.dump().threads[0].waiting_for = ThreadWait{kind, RemoteAddress(), 0, ""};
        builder.dump().threads.push_back(builder.dump().threads[0]);
    }
    for (const char* const kind :
         {"await_cycle", "lock_cycle", "thread_deadlock", "unwakeable", "blocked_executor", "stuck"}) {
        builder.dump().findings.push_back({kind, true, "Something is wrong.", {0, 1}, {11}});
    }
    builder.dump().problems.push_back({"missing_debug_info", "it is missing", "libx.so", true});
    builder.dump().capture.used_registry = true;
    CHECK(validate(as_json(builder.build())) == 0);
}

TEST_CASE("a dump with hostile names follows the schema") {
    if (!can_validate()) return;
    DumpBuilder builder;
    std::string hostile = "\x1b]0;x\x07 \"\\ \xFF\xC0\x80 \xE2\x80\xAE \n\r\t \xC2\x9B";
    hostile += '\0';
    MadeCoroutine made;
    made.function = made.file = made.type = made.summary = hostile;
    made.line = 1;
    builder.add(made);
    builder.thread(1, hostile).frames.push_back(DumpBuilder::frame(hostile, hostile, 1, hostile));
    builder.dump().target.command = {hostile};
    builder.dump().target.executable = hostile;
    CHECK(validate(as_json(builder.build())) == 0);
}

TEST_CASE("the validator refuses what does not follow the schema") {
    if (!can_validate()) return;
    DumpBuilder builder;
    builder.add({});
    const std::string good = as_json(builder.build());
    const auto broken = [&](std::string_view what, std::string_view by) {
        std::string text = good;
        const std::size_t place = text.find(what);
        REQUIRE(place != std::string::npos);
        return text.replace(place, what.size(), by);
    };
    REQUIRE(validate(good) == 0);
    CHECK(validate(broken("\"awaiting\":null,", "")) == 1);
    CHECK(validate(broken("\"state\":\"suspended\"", "\"state\":\"waiting\"")) == 1);
    CHECK(validate(broken("\"0x55d0", "\"55d0")) == 1);
    CHECK(validate(broken("\"pid\":4132", "\"pid\":\"4132\"")) == 1);
    CHECK(validate(broken("\"internal\"", "\"state\"")) == 1);
    CHECK(validate(good.substr(0, good.size() / 2)) == 1);
}
