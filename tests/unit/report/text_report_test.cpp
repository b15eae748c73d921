#include <catch2/catch.hpp>

#include "dump_builder.h"
#include "rendered.h"

using namespace asyncdump;
using namespace asyncdump::tests;

namespace {

MadeCoroutine awaiting_coroutine(const std::string& function, std::uint32_t line) {
    MadeCoroutine made;
    made.function = function;
    made.line = line;
    made.waits_for = WaitKind::coroutine;
    return made;
}

MadeCoroutine waiting(const std::string& function, std::uint32_t line, WaitKind kind,
                      const std::string& summary) {
    MadeCoroutine made = awaiting_coroutine(function, line);
    made.waits_for = kind;
    made.summary = summary;
    return made;
}

/// The part of a report that begins with a heading; "" when there is none.
std::string section(const std::string& text, const std::string& heading) {
    const std::size_t begin = text.find(heading);
    return begin == std::string::npos ? "" : text.substr(begin);
}

std::string trees(const Dump& dump, TextStyle style = {}) {
    ReportFilter filter;
    filter.threads = false;
    return section(as_text(dump, style, filter), "TASKS");
}

std::string threads(const Dump& dump, const TextStyle& style = {}) {
    ReportFilter filter;
    filter.tasks = false;
    return section(as_text(dump, style, filter), "THREADS");
}

}  // namespace

TEST_CASE("a whole report: header, findings, tasks, frames apart, threads, problems") {
    DumpBuilder builder;
    for (int i = 0; i < 3; ++i) {
        MadeCoroutine query = waiting("Database::query(std::string)", 40, WaitKind::timer,
                                      "async_wait on steady_timer, " + std::to_string(997 - i) + " s left");
        query.file = "/src/db/database.cpp";
        builder.chain({awaiting_coroutine("session(tcp::socket)", 88),
                       awaiting_coroutine("find_user(int)", 61), query});
    }
    const auto first =
        builder.add(waiting("transfer(Account&)", 31, WaitKind::lock, "async_mutex 0x10, held by task 5"));
    const auto second =
        builder.add(waiting("transfer(Account&)", 31, WaitKind::lock, "async_mutex 0x20, held by task 4"));
    MadeCoroutine stale;
    stale.function = "stale()";
    stale.doubtful = true;
    stale.state = CoroutineState::unknown;
    builder.add(stale);
    builder.dump().findings.push_back({"blocked_executor", false, "Thread 4132 sleeps.", {}, {4132}});
    builder.dump().findings.push_back(
        {"lock_cycle", true, "Two tasks hold what the other one waits for.", {first, second}, {}});
    Thread& thread = builder.thread(4132);
    thread.system_call = "epoll_wait";
    thread.frames = {DumpBuilder::frame("epoll_wait", "", 0, "libc.so.6"),
                     DumpBuilder::frame("main", "/src/server.cpp", 240)};
    builder.dump().problems.push_back({"missing_symbols", "it has no symbols", "libx.so", false});
    builder.dump().problems.push_back({"unreadable_memory", "4096 bytes could not be read", "", true});
    builder.dump().capture.complete = false;
    CHECK(as_text(builder.build()) ==
          R"(process 4132: server --port 80
1 thread, 12 coroutines, 5 tasks; stopped for 812 us at 2026-11-21 18:00:00 UTC
NOT COMPLETE: something may be missing here; the problems at the end say why

FINDINGS: 1 error, 1 warning

error 1, lock_cycle: Two tasks hold what the other one waits for.
    task 4: transfer(Account&)  at server.cpp:31, awaiting async_mutex 0x10, held by task 5
    task 5: transfer(Account&)  at server.cpp:31, awaiting async_mutex 0x20, held by task 4

warning 2, blocked_executor: Thread 4132 sleeps.
    thread 4132 "server"

TASKS: 5, of 3 kinds; equal ones are shown once (--all shows each)

3 x task 1 and 2 like it
  session(tcp::socket)                at server.cpp:88
  `- find_user(int)                   at server.cpp:61
     `- Database::query(std::string)  at database.cpp:40, awaiting, for example, async_wait on steady_timer, 997 s left

task 4
  transfer(Account&)  at server.cpp:31, awaiting async_mutex 0x10, held by task 5  <== error 1

task 5
  transfer(Account&)  at server.cpp:31, awaiting async_mutex 0x20, held by task 4  <== error 1

FRAMES THAT NOTHING REFERS TO: 1
  They may be what is left of destroyed coroutines: their content cannot tell.
  stale()  declared at server.cpp:10

THREADS: 1

thread 4132 "server": sleeping in epoll_wait
    epoll_wait  in libc.so.6
    main        at server.cpp:240

PROBLEMS: 2
  Because of those marked ! something may be missing above.
  ! 4096 bytes could not be read
  - libx.so: it has no symbols
)");
}

TEST_CASE("what is known of a coroutine is said in words") {
    DumpBuilder builder;
    MadeCoroutine made;
    made.line = 61;
    const auto add = [&](auto change) {
        MadeCoroutine copy = made;
        change(copy);
        builder.add(copy);
    };
    add([](MadeCoroutine&) {});
    add([](MadeCoroutine& c) { c.exact = false; });
    add([](MadeCoroutine& c) { c.exact = false, c.resumes_at = 63; });
    add([](MadeCoroutine& c) { c.line = 0; });
    add([](MadeCoroutine& c) { c.line = 0, c.declared = 0; });
    add([](MadeCoroutine& c) { c.line = 0, c.state = CoroutineState::created; });
    add([](MadeCoroutine& c) { c.line = 0, c.state = CoroutineState::done; });
    add([](MadeCoroutine& c) { c.line = 0, c.state = CoroutineState::unknown; });
    add([](MadeCoroutine& c) { c.state = CoroutineState::running, c.thread = 4132; });
    add([](MadeCoroutine& c) { c.at_yield = true; });
    add([](MadeCoroutine& c) { c.type = "Event"; });
    add([](MadeCoroutine& c) { c.type = "Event", c.waits_for = WaitKind::lock; });
    add([](MadeCoroutine& c) { c.waits_for = WaitKind::io; });
    add([](MadeCoroutine& c) { c.waits_for = WaitKind::coroutine; });
    CHECK(trees(builder.build()) == R"(TASKS: 14

task 1
  task()  at server.cpp:61, awaiting something unknown

task 2
  task()  near server.cpp:61, awaiting something unknown

task 3
  task()  near server.cpp:61, resumes at 63, awaiting something unknown

task 4
  task()  declared at server.cpp:10, awaiting something unknown

task 5
  task()  frame 0x55d0c0000400, awaiting something unknown

task 6
  task()  declared at server.cpp:10, created, not yet started

task 7
  task()  declared at server.cpp:10, done, at its final suspend point

task 8
  task()  declared at server.cpp:10, state unknown

task 9
  task()  declared at server.cpp:10, running on thread 4132

task 10
  task()  yielded at server.cpp:61, waiting to be asked for the next value

task 11
  task()  at server.cpp:61, awaiting Event

task 12
  task()  at server.cpp:61, awaiting a lock (Event)

task 13
  task()  at server.cpp:61, awaiting input or output

task 14
  task()  at server.cpp:61, awaiting a coroutine that was not found

)");
}

TEST_CASE("branches, equal siblings, shared coroutines and cycles") {
    DumpBuilder builder;
    const auto root = builder.add(awaiting_coroutine("report()", 150));
    for (int i = 0; i < 30; ++i) {
        builder.edge(root,
                     builder.add(waiting("load(int)", 140, WaitKind::io, "read on fd " + std::to_string(i))));
    }
    const auto left = builder.add(awaiting_coroutine("left()", 1));
    const auto right = builder.add(awaiting_coroutine("right()", 2));
    const auto shared = builder.add(awaiting_coroutine("shared()", 3));
    builder.edge(root, left);
    builder.edge(root, right);
    builder.edge(left, shared);
    builder.edge(right, shared);
    builder.edge(shared, left);
    const Dump dump = builder.build();
    CHECK(trees(dump) == R"(TASKS: 1

task 1
  report()           at server.cpp:150
  |- 30 x load(int)  at server.cpp:140, awaiting, for example, read on fd 0
  |- left()          at server.cpp:1
  |  `- shared()     at server.cpp:3
  |     `- back to left()  (a cycle: they await each other)
  `- right()         at server.cpp:2
     `- shared()  (shown above)

)");
    TextStyle style;
    style.all = true;
    const std::string all = trees(dump, style);
    CHECK(all.find("read on fd 29") != std::string::npos);
    CHECK(all.find(" x ") == std::string::npos);
    style.all = false;
    style.unicode = true;
    CHECK(trees(dump, style).find("  ├─ 30 × load(int)  at") != std::string::npos);
    CHECK(trees(dump, style).find("  │  └─ shared()     at") != std::string::npos);
}

TEST_CASE("numbers that are the same everywhere are no example") {
    DumpBuilder builder;
    const auto root = builder.add(awaiting_coroutine("root()", 1));
    for (int i = 0; i < 2; ++i)
        builder.edge(root, builder.add(waiting("task()", 7, WaitKind::lock, "mutex 0x10")));
    for (int i = 0; i < 2; ++i) builder.add(waiting("task()", 7, WaitKind::lock, "mutex 0x20"));
    const std::string text = trees(builder.build());
    CHECK(text.find("`- 2 x task()  at server.cpp:7, awaiting mutex 0x10\n") != std::string::npos);
    CHECK(text.find("  task()  at server.cpp:7, awaiting mutex 0x20\n") != std::string::npos);
    CHECK(text.find("2 x task 2 and 1 like it\n") != std::string::npos);
}

TEST_CASE("a library's coroutines are folded unless asked for") {
    DumpBuilder builder;
    MadeCoroutine entry = awaiting_coroutine("co_spawn_entry_point()", 110);
    MadeCoroutine initiate =
        waiting("initiate()", 260, WaitKind::timer, "async_wait on steady_timer, 3 s left");
    entry.internal = initiate.internal = true;
    builder.chain({entry, awaiting_coroutine("session()", 88), initiate});
    const auto both = builder.chain({entry, awaiting_coroutine("both()", 90)}) + 1;
    builder.edge(both, builder.add(initiate));
    MadeCoroutine unclear = initiate;
    unclear.waits_for = WaitKind::unknown;
    unclear.summary.clear();
    builder.edge(both, builder.add(unclear));
    const Dump dump = builder.build();
    CHECK(trees(dump) == R"(TASKS: 2

task 1
  session()  at server.cpp:88, awaiting async_wait on steady_timer, 3 s left

task 2
  both()  at server.cpp:90
  |- awaiting async_wait on steady_timer, 3 s left
  `- awaiting initiate()

)");
    TextStyle style;
    style.internal = true;
    CHECK(trees(dump, style).find(R"(task 1
  co_spawn_entry_point()  at server.cpp:110
  `- session()            at server.cpp:88
     `- initiate()        at server.cpp:260, awaiting async_wait on steady_timer, 3 s left
)") != std::string::npos);
}

TEST_CASE("of a deep chain both ends are shown, and all of it on demand") {
    DumpBuilder builder;
    std::vector<MadeCoroutine> chain(10'000, awaiting_coroutine("recurse(int)", 7));
    chain.back() = waiting("recurse(int)", 9, WaitKind::channel, "async_receive on channel");
    builder.chain(chain);
    const Dump dump = builder.build();
    const std::string text = trees(dump);
    CHECK(std::count(text.begin(), text.end(), '\n') == 2 + 1 + 20 + 1 + 20 + 1);
    CHECK(text.find("... 9,960 more levels ...\n") != std::string::npos);
    CHECK(text.find("[level 20] recurse(int)") != std::string::npos);
    CHECK(text.find("[level 21] recurse(int)") == std::string::npos);
    CHECK(text.find("[level 9,981] recurse(int)") != std::string::npos);
    CHECK(text.find("[level 10,000] recurse(int)  at server.cpp:9, awaiting async_receive on channel\n") !=
          std::string::npos);
    TextStyle style;
    style.all = true;
    const std::string all = trees(dump, style);
    CHECK(std::count(all.begin(), all.end(), '\n') == 2 + 1 + 10'000 + 1);

    DumpBuilder short_one;
    short_one.chain(std::vector<MadeCoroutine>(41, awaiting_coroutine("recurse(int)", 7)));
    CHECK(trees(short_one.build()).find("more levels") == std::string::npos);
}

TEST_CASE("ages, creation and names") {
    DumpBuilder builder;
    builder.chain({awaiting_coroutine("session()", 88), waiting("query()", 40, WaitKind::io, "read")});
    Creation created;
    created.age_ms = 51'234;
    created.thread = 4132;
    builder.observation.creation_stacks.push_back(
        {DumpBuilder::frame("boost::asio::co_spawn<X>(X)", "/usr/include/co_spawn.hpp", 80),
         DumpBuilder::frame("(anonymous namespace)::accept_loop(tcp::acceptor&)", "/src/server.cpp", 124),
         DumpBuilder::frame("main", "/src/main.cpp", 9)});
    created.stack = 0;
    builder.details(0).created = created;
    created.age_ms = 3'000;
    created.stack = no_index;
    builder.details(1).created = created;
    Dump dump = builder.build();
    dump.tasks[0].name = "client 7";
    CHECK(trees(dump) == R"(TASKS: 1

task 1 "client 7", created 51 s ago on thread 4132 at accept_loop server.cpp:124, called by main main.cpp:9
  session()   at server.cpp:88
  `- query()  at server.cpp:40, awaiting read, 3 s old

)");
}

TEST_CASE("variables stand on a line below, on demand") {
    DumpBuilder builder;
    for (int i = 0; i < 2; ++i) {
        builder.chain({awaiting_coroutine("session()", 88), waiting("query()", 40, WaitKind::io, "read")});
        auto& variables = builder.details(static_cast<std::uint32_t>(2 * i)).variables;
        variables = {{"id", "int", std::to_string(i), true}, {"name", "std::string", "\"bob\"", false}};
    }
    const Dump dump = builder.build();
    CHECK(trees(dump).find("bob") == std::string::npos);
    TextStyle style;
    style.locals = true;
    CHECK(trees(dump, style).find(R"(  session()   at server.cpp:88
  |  for example: id = 0, name = "bob"
  `- query()  at)") != std::string::npos);
    style.all = true;
    CHECK(trees(dump, style).find("  |  id = 1, name = \"bob\"\n") != std::string::npos);
}

TEST_CASE("threads: equal stacks once, running coroutines with those that await them") {
    DumpBuilder builder;
    MadeCoroutine running;
    running.function = "summarise()";
    running.state = CoroutineState::running;
    running.thread = 4134;
    const auto session =
        builder.chain({awaiting_coroutine("session()", 88), awaiting_coroutine("report()", 150), running});
    for (int i = 0; i < 3; ++i) {
        Thread& worker = builder.thread(4140 + i, "worker " + std::to_string(i));
        worker.system_call = "futex";
        worker.waiting_for = ThreadWait{"condition", RemoteAddress(0x7f00), 0, ""};
        worker.frames = {DumpBuilder::frame("", "", 0, "libc.so.6"),
                         DumpBuilder::frame("loop()", "/src/pool.cpp", 28)};
    }
    Thread& io = builder.thread(4134, "io", "running");
    io.frames = {DumpBuilder::frame("nanosleep", "", 0, "libc.so.6"),
                 DumpBuilder::frame("summarise()", "/src/server.cpp", 160),
                 DumpBuilder::frame("resume()", "/usr/include/coroutine", 135)};
    io.frames[1].coroutine = session + 2;
    io.frames[2].inlined = true;
    io.problems.push_back({"stack_truncated", "the stack ends here: no unwind information", "", true});
    Thread& blocked = builder.thread(4135, "", "sleeping");
    blocked.waiting_for = ThreadWait{"mutex", RemoteAddress(0x7f10), 4134, ""};
    const Dump dump = builder.build();
    CHECK(threads(dump) == R"(THREADS: 5 with 3 different stacks

3 threads, for example thread 4140 "worker 0": sleeping in futex, waiting for condition 0x7f00
  the others: 4141, 4142
    0x55d000001000  in libc.so.6
    loop()          at pool.cpp:28

thread 4134 "io": running
    nanosleep               in libc.so.6
    summarise()             at server.cpp:160  (coroutine of task 1)
      awaited by report()   at server.cpp:150
      awaited by session()  at server.cpp:88
    resume()                at coroutine:135  (inlined)
    the stack ends here: no unwind information

thread 4135: sleeping, waiting for mutex 0x7f10, held by thread 4134
    (no stack)

)");
    // The tree shows where it runs, too.
    CHECK(trees(dump).find("summarise()  at server.cpp:160, running on thread 4134\n") != std::string::npos);
    TextStyle style;
    style.all = true;
    CHECK(threads(dump, style).find("thread 4142 \"worker 2\"") != std::string::npos);
}

TEST_CASE("no task: it is said, and where the reason may be") {
    DumpBuilder builder;
    CHECK(trees(builder.build()) == "TASKS: none\n  No live coroutine was found in this process.\n\n");
    builder.dump().problems.push_back({"missing_symbols", "no coroutine functions in any module", "", true});
    CHECK(trees(builder.build())
              .starts_with("TASKS: none\n  No live coroutine was found in this process; the problems at the "
                           "end may say why.\n"));
}

TEST_CASE("whatever the target calls its things, the terminal is not harmed") {
    DumpBuilder builder;
    const std::string hostile = "\x1b]0;x\x07\n\r\xFF\xC2\x9B\xE2\x80\xAE gr\xC3\xBC\xC3\x9F";
    MadeCoroutine made;
    made.function = made.file = made.type = made.summary = hostile;
    made.line = 1;
    made.exact = false;
    made.thread = 1;
    const auto coroutine = builder.chain({made, made});
    MadeCoroutine apart = made;
    apart.doubtful = true;
    builder.add(apart);
    auto& details = builder.details(coroutine);
    details.variables.push_back({hostile, hostile, hostile, false});
    details.problems.push_back({hostile, hostile, hostile, false});
    builder.observation.creation_stacks.push_back({DumpBuilder::frame(hostile, hostile, 1, hostile)});
    details.created = Creation{{}, 1, 1, 0};
    Thread& thread = builder.thread(1, hostile, hostile);
    thread.system_call = hostile;
    thread.waiting_for = ThreadWait{hostile, RemoteAddress(), 0, ""};
    thread.frames.push_back(DumpBuilder::frame(hostile, hostile, 1, hostile));
    thread.frames.push_back(DumpBuilder::frame("", "", 0, hostile));
    thread.frames.back().variables = details.variables;
    thread.problems = details.problems;
    builder.thread(2, "", "sleeping").waiting_for = ThreadWait{"io", RemoteAddress(), 0, hostile};
    builder.dump().target.command = {hostile};
    builder.dump().findings.push_back({hostile, true, hostile, {coroutine}, {1}});
    builder.dump().problems.push_back({hostile, hostile, "other" + hostile, true});
    Dump dump = builder.build();
    dump.tasks[0].name = hostile;

    for (const bool unicode : {false, true}) {
        for (const bool all : {false, true}) {
            for (const std::size_t width : {0u, 1u, 20u}) {
                TextStyle style;
                style.unicode = unicode;
                style.all = all;
                style.locals = style.internal = true;
                style.width = width;
                const std::string text = as_text(dump, style);
                for (const char byte : text) {
                    const auto value = static_cast<unsigned char>(byte);
                    REQUIRE((value >= 0x20 || byte == '\n'));
                    REQUIRE(value != 0x7F);
                    if (!unicode) REQUIRE(value < 0x80);
                }
                CHECK(text.find("\xC2\x9B") == std::string::npos);
                CHECK(text.find("\xE2\x80\xAE") == std::string::npos);
                CHECK(text.find(unicode ? "gr\xC3\xBC\xC3\x9F" : "gr\\u00fc\\u00df") != std::string::npos);
            }
        }
    }
}

TEST_CASE("colour marks headings and findings and changes no character") {
    DumpBuilder builder;
    const auto coroutine = builder.add(waiting("task()", 7, WaitKind::io, "read"));
    builder.dump().findings.push_back({"stuck", true, "It is stuck.", {coroutine}, {}});
    const Dump dump = builder.build();
    TextStyle style;
    style.colour = true;
    std::string coloured = as_text(dump, style);
    CHECK(coloured.find("\x1b[1;31merror 1, stuck: \x1b[0mIt is stuck.") != std::string::npos);
    while (true) {
        const std::size_t escape = coloured.find('\x1b');
        if (escape == std::string::npos) break;
        coloured.erase(escape, coloured.find('m', escape) + 1 - escape);
    }
    CHECK(coloured == as_text(dump));
}
