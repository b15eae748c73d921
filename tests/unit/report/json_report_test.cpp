#include <catch2/catch.hpp>

#include "dump_builder.h"
#include "json_parts.h"
#include "rendered.h"

using namespace asyncdump;
using namespace asyncdump::tests;

TEST_CASE("a coroutine has every field of the schema") {
    DumpBuilder builder;
    MadeCoroutine parent;
    parent.function = "session(tcp::socket)";
    parent.line = 88;
    parent.column = 14;
    parent.waits_for = WaitKind::coroutine;
    MadeCoroutine child;
    child.function = "find_user(int)";
    child.line = 61;
    child.exact = false;
    child.waits_for = WaitKind::timer;
    child.type = "steady_timer";
    child.summary = "async_wait on steady_timer, 997 s left";
    child.internal = true;
    builder.chain({parent, child});
    CoroutineDetails& details = builder.details(1);
    details.variables.push_back({"id", "int", "3", true});
    details.awaiter.push_back({"expiry", "long", "997", false});
    details.problems.push_back({"unreadable_memory", "a value could not be read", "id", false});
    Creation created;
    created.at = builder.dump().capture.at;
    created.age_ms = 51234;
    created.thread = 4132;
    builder.observation.creation_stacks.push_back(
        {DumpBuilder::frame("accept_loop()", "/src/server.cpp", 88)});
    created.stack = 0;
    details.created = created;

    const std::string dump = as_json(builder.build());
    CHECK(part(dump, "/coroutines/1") == same(R"json({
        "id": "0x55d0c0000100", "task": 1, "runtime": "c++20", "function": "find_user(int)",
        "symbol": "_Zfind_user(int)", "state": "suspended",
        "suspended_at": {"file": "/src/server.cpp", "line": 61, "column": null, "exact": false},
        "declared_at": {"file": "/src/server.cpp", "line": 10, "column": null, "exact": true},
        "awaiting": {"kind": "timer", "type": "steady_timer", "summary": "async_wait on steady_timer, 997 s left",
                     "fields": [{"name": "expiry", "type": "long", "value": "997", "parameter": false}]},
        "awaits": [], "awaited_by": ["0x55d0c0000000"], "thread": null, "found_by": ["scan"], "internal": true,
        "frame_bytes": 128,
        "created": {"at": "2026-11-21T18:00:00.123Z", "age_ms": 51234, "thread": 4132, "stack": [
            {"pc": "0x55d000001058", "function": "accept_loop()", "file": "/src/server.cpp", "line": 88,
             "module": "server", "inlined": false, "coroutine": null, "variables": []}], "or_later": false, "under": []},
        "name": null, "label": null,
        "variables": [{"name": "id", "type": "int", "value": "3", "parameter": true}],
        "problems": [{"code": "unreadable_memory", "message": "a value could not be read", "subject": "id"}]
})json"));
    CHECK(part(dump, "/coroutines/0/suspended_at/column") == "14");
    CHECK(part(dump, "/coroutines/0/awaits") == same(R"(["0x55d0c0000100"])"));
    CHECK(part(dump, "/tasks") == same(R"json([
        {"id": 1, "name": null, "root": "0x55d0c0000000", "coroutines": 2, "state": "suspended"}])json"));
}

TEST_CASE("what is unknown is null or empty, never absent") {
    DumpBuilder builder;
    MadeCoroutine made;
    made.declared = 0;
    made.state = CoroutineState::unknown;
    made.doubtful = true;
    builder.add(made);
    ObservedCoroutine& bare = builder.observation.coroutines[0];
    bare.function = no_index;
    bare.frame_bytes = 0;
    bare.found_by_scan = false;
    builder.details(0).problems.clear();
    builder.dump().target = {};
    builder.dump().capture = {};
    builder.thread(7, "", "").frames.push_back({});

    const std::string dump = as_json(builder.build());
    CHECK(part(dump, "/coroutines/0") == same(R"json({
        "id": "0x55d0c0000000", "task": null, "runtime": "c++20", "function": null, "symbol": null,
        "state": "unknown", "suspended_at": null, "declared_at": null, "awaiting": null, "awaits": [],
        "awaited_by": [], "thread": null, "found_by": [], "internal": false, "frame_bytes": null, "created": null,
        "name": null, "label": null, "variables": [], "problems": []})json"));
    CHECK(part(dump, "/threads/0") == same(R"json({
        "tid": 7, "name": null, "state": "unknown", "syscall": null, "waiting_for": null, "frames": [
            {"pc": "0x0", "function": "", "file": null, "line": null, "module": "", "inlined": false,
             "coroutine": null, "variables": []}],
        "problems": []})json"));
    CHECK(part(dump, "/target") == same(R"json({"kind": "live", "pid": 0, "exe": null, "command": []})json"));
    CHECK(part(dump, "/capture/sources") == "[]");
    CHECK(part(dump, "/findings") == "[]");
    CHECK(part(dump, "/problems") == "[]");
}

TEST_CASE("header, threads, findings and problems") {
    DumpBuilder builder;
    MadeCoroutine running;
    running.state = CoroutineState::running;
    running.thread = 4134;
    const auto coroutine = builder.add(running);
    Thread& thread = builder.thread(4134, "io 1", "sleeping");
    thread.system_call = "futex";
    thread.waiting_for = ThreadWait{"mutex", RemoteAddress(0x7f00), 4135, "std::mutex held by thread 4135"};
    thread.frames.push_back(DumpBuilder::frame("task()", "/src/server.cpp", 12));
    thread.frames.back().coroutine = coroutine;
    thread.frames.push_back(DumpBuilder::frame("resume()", "/usr/include/coroutine", 135));
    thread.frames.back().inlined = true;
    thread.problems.push_back({"stack_truncated", "the stack ends here", "", true});
    builder.dump().findings.push_back(
        {"blocked_executor", false, "It is blocked.", {coroutine}, {4134}, {"It sleeps."}});
    builder.dump().problems.push_back({"missing_symbols", "libx.so has no symbols", "libx.so", false});
    builder.dump().capture.used_registry = true;
    builder.dump().capture.complete = false;
    builder.dump().target.is_core = true;

    const std::string dump = as_json(builder.build());
    CHECK(part(dump, "/schema") == "\"asyncdump.dump/1\"");
    CHECK(part(dump, "/tool/name") == "\"asyncdump\"");
    CHECK(part(dump, "/target") == same(R"json({"kind": "core", "pid": 4132, "exe": "/usr/bin/server",
                                            "command": ["server", "--port", "80"]})json"));
    CHECK(part(dump, "/capture") ==
          same(R"json({"at": "2026-11-21T18:00:00.123Z", "pause_us": 812, "total_ms": 143,
        "sources": ["registry", "scan"], "bytes_scanned": 134217728, "bytes_copied": 48112, "complete": false})json"));
    CHECK(part(dump, "/coroutines/0/thread") == "4134");
    CHECK(part(dump, "/coroutines/0/state") == "\"running\"");
    CHECK(part(dump, "/threads/0") == same(R"json({
        "tid": 4134, "name": "io 1", "state": "sleeping", "syscall": "futex",
        "waiting_for": {"kind": "mutex", "address": "0x7f00", "owner": 4135,
                        "summary": "std::mutex held by thread 4135"},
        "frames": [
            {"pc": "0x55d00000100c", "function": "task()", "file": "/src/server.cpp", "line": 12,
             "module": "server", "inlined": false, "coroutine": "0x55d0c0000000", "variables": []
},
            {"pc": "0x55d000001087", "function": "resume()", "file": "/usr/include/coroutine", "line": 135,
             "module": "server", "inlined": true, "coroutine": null, "variables": []}],
        "problems": [{"code": "stack_truncated", "message": "the stack ends here", "subject": null}]
})json"));
    CHECK(part(dump, "/findings") == same(R"json([{"kind": "blocked_executor", "severity": "warning",
        "summary": "It is blocked.", "coroutines": ["0x55d0c0000000"], "threads": [4134],
        "evidence": ["It sleeps."]}])json"));
    CHECK(part(dump, "/problems") ==
          same(R"json([{"code": "missing_symbols", "message": "libx.so has no symbols",
        "subject": "libx.so"}])json"));
}

TEST_CASE("each coroutine stands on a line of its own and the output ends with a line break") {
    DumpBuilder builder;
    builder.chain({{}, {}, {}});
    const std::string text = as_json(builder.build());
    CHECK(text.ends_with("}\n"));
    std::size_t lines = 0;
    for (std::size_t at = text.find("\n{\"id\":\"0x"); at != std::string::npos;
         at = text.find("\n{\"id\":\"0x", at + 1)) {
        ++lines;
    }
    CHECK(lines == 3);
}
