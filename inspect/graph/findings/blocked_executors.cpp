#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/findings/executors.h"
#include "graph/findings/findings.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

struct Blocked {
    const Thread* thread = nullptr;
    const ThreadFrame* frame = nullptr;  ///< of the coroutine inside which it blocks
};

/// A wait that keeps a thread from its other work. A mutex is not one: every busy server waits for one now
/// and then, and a mutex that is never released is a finding of its own. epoll_wait inside a coroutine is an
/// event loop.
bool is_blocking(const Thread& thread) {
    if (!is_asleep(thread) || !thread.waiting_for) return false;
    const ThreadWait& wait = *thread.waiting_for;
    if (wait.kind == "io")
        return !thread.system_call.starts_with("epoll_") && thread.system_call != "io_uring_enter";
    return wait.kind == "sleep" || wait.for_event;
}

std::optional<Blocked> blocked_inside_coroutine(const Thread& thread) {
    if (!is_blocking(thread)) return std::nullopt;
    const std::size_t frame = innermost_coroutine(thread);
    if (frame == thread.frames.size()) return std::nullopt;
    // A loop that was started inside the coroutine goes on with the other work.
    const bool runs_nested_loop =
        std::any_of(thread.frames.begin(), thread.frames.begin() + static_cast<std::ptrdiff_t>(frame),
                    [](const ThreadFrame& inner) { return is_event_loop(inner.function); });
    if (runs_nested_loop) return std::nullopt;
    return Blocked{&thread, &thread.frames[frame]};
}

std::string place_of(const ThreadFrame& frame) {
    if (frame.line == 0) return frame.function;
    return fmt::format("{} ({}:{})", frame.function, file_name(frame.file), frame.line);
}

Finding describe(const std::vector<Blocked>& blocked) {
    Finding finding;
    finding.kind = "blocked_executor";
    const Blocked& first = blocked.front();
    finding.summary =
        fmt::format("{} blocks inside the coroutine {}, waiting for {}", thread_words(*first.thread),
                    place_of(*first.frame), first.thread->waiting_for->summary);
    if (blocked.size() > 1) finding.summary += fmt::format("; {} more threads do so too", blocked.size() - 1);
    for (const Blocked& one : blocked) {
        finding.threads.push_back(one.thread->tid);
        if (std::ranges::find(finding.coroutines, one.frame->coroutine) == finding.coroutines.end())
            finding.coroutines.push_back(one.frame->coroutine);
        finding.evidence.push_back(fmt::format("{} sleeps in {} below {}", thread_words(*one.thread),
                                               one.thread->system_call, place_of(*one.frame)));
    }
    return finding;
}

}  // namespace

std::vector<Finding> find_blocked_executors(const Dump& dump, const std::vector<Finding>& deadlocked) {
    std::set<std::int32_t> told;
    for (const Finding& finding : deadlocked) told.insert(finding.threads.begin(), finding.threads.end());

    std::vector<Blocked> waiting;  // for something that another one has to do
    std::vector<Finding> findings;
    for (const Thread& thread : dump.threads) {
        const auto blocked = blocked_inside_coroutine(thread);
        if (!blocked || told.contains(thread.tid)) continue;
        const ThreadWait& wait = *thread.waiting_for;
        if (wait.for_event && !wait.has_time_limit && !wait.from_outside) {
            waiting.push_back(*blocked);
            continue;
        }
        findings.push_back(describe({*blocked}));
        findings.back().evidence.emplace_back(
            wait.kind == "io" ? "it goes on when the descriptor is ready"
            : wait.from_outside
                ? "another process may end this wait; until then this thread runs nothing else"
                : "it goes on by itself after some time; until then this thread runs nothing else");
    }
    if (waiting.empty()) return findings;

    const auto is_waiting = [&](const Thread& thread) {
        return std::ranges::any_of(waiting, [&](const Blocked& one) { return one.thread == &thread; });
    };
    const auto helper = std::ranges::find_if(dump.threads, [&](const Thread& thread) {
        return !is_waiting(thread) && !told.contains(thread.tid) &&
               (is_executor(thread) || may_go_on(thread) || runs_same_loop(*waiting.front().thread, thread));
    });
    if (helper == dump.threads.end()) {
        Finding finding = describe(waiting);
        finding.is_error = dump.events_from_outside.empty();
        finding.evidence.push_back(
            finding.is_error
                ? "no other thread of the process runs coroutines, is running, or will by itself: as far as "
                  "is known nothing can end this wait"
                : dump.events_from_outside + " may end this wait");
        findings.push_back(std::move(finding));
        return findings;
    }
    for (const Blocked& one : waiting) {
        findings.push_back(describe({one}));
        findings.back().evidence.push_back(fmt::format("{} may end this wait", thread_words(*helper)));
    }
    return findings;
}

}  // namespace asyncdump
