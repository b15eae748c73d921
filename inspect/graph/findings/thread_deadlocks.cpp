#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/findings/executors.h"
#include "graph/findings/findings.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_told = 5;

/// The thread without which this one cannot go on; nullptr when there is none known, or when the wait ends by
/// itself.
const Thread* waits_for_thread(const Dump& dump, const Thread& thread) {
    if (!thread.waiting_for || thread.waiting_for->owner == 0 || thread.waiting_for->has_time_limit)
        return nullptr;
    return find_thread(dump, thread.waiting_for->owner);
}

/// The suspended coroutines that hold a blocking mutex.
const ObservedLock* held_by_coroutine(const Dump& dump, RemoteAddress mutex) {
    const auto found = std::ranges::find_if(dump.observed.locks, [&](const ObservedLock& lock) {
        return lock.blocks_threads && lock.address == mutex && !lock.holders.empty();
    });
    return found == dump.observed.locks.end() ? nullptr : &*found;
}

void add_holders(const Dump& dump, const ObservedLock& lock, Finding& finding) {
    for (const ObservedLock::Holder& holder : lock.holders) {
        finding.coroutines.push_back(holder.coroutine);
        finding.evidence.push_back(fmt::format("{} is suspended and holds mutex {:#x}: {}",
                                               place_words(dump, holder.coroutine), lock.address.value(),
                                               holder.evidence));
    }
}

void add_waits(const Thread& thread, Finding& finding) {
    finding.threads.push_back(thread.tid);
    finding.evidence.push_back(
        fmt::format("{} waits for {}", thread_words(thread), thread.waiting_for->summary));
}

Finding describe_circle(const Dump& dump, const std::vector<const Thread*>& circle) {
    Finding finding;
    finding.kind = "thread_deadlock";
    finding.is_error = true;
    if (circle.size() == 1) {
        finding.summary = fmt::format("{} waits for {}: itself", thread_words(*circle.front()),
                                      circle.front()->waiting_for->summary);
    } else {
        finding.summary = fmt::format("{} threads wait for each other in a circle: ", circle.size());
        for (std::size_t i = 0; i < std::min(circle.size(), most_told); ++i) {
            finding.summary += fmt::format("{}{} waits for {}", i == 0 ? "" : "; ", thread_words(*circle[i]),
                                           circle[i]->waiting_for->summary);
        }
        if (circle.size() > most_told) finding.summary += "; and so on";
    }
    for (const Thread* thread : circle) {
        add_waits(*thread, finding);
        const ObservedLock* lock = held_by_coroutine(dump, thread->waiting_for->address);
        if (lock == nullptr) continue;
        add_holders(dump, *lock, finding);
        if (circle.size() == 1) {
            finding.summary = fmt::format(
                "{} waits for mutex {:#x}, which {} locked on the same thread and holds while it is "
                "suspended",
                thread_words(*thread), lock->address.value(),
                place_words(dump, lock->holders.front().coroutine));
        }
    }
    return finding;
}

void find_circles(const Dump& dump, std::vector<Finding>& findings, std::set<std::int32_t>& told) {
    for (const Thread& start : dump.threads) {
        std::vector<const Thread*> way;
        const Thread* thread = &start;
        while (thread != nullptr && !told.contains(thread->tid) &&
               std::ranges::find(way, thread) == way.end()) {
            way.push_back(thread);
            thread = waits_for_thread(dump, *thread);
        }
        const auto begin = std::ranges::find(way, thread);
        if (thread == nullptr || begin == way.end()) continue;
        way.erase(way.begin(), begin);
        for (const Thread* member : way) told.insert(member->tid);
        findings.push_back(describe_circle(dump, way));
    }
}

/// Who waits for a thread that never goes on does not go on either. Two threads that close a circle in the
/// same moment are both refused, and nothing tells for which lock: therefore one finding for all.
void find_refused(const Dump& dump, std::vector<Finding>& findings, std::set<std::int32_t>& told) {
    Finding finding;
    finding.kind = "thread_deadlock";
    finding.is_error = true;
    for (const Thread& thread : dump.threads) {
        if (!thread.waiting_for || !thread.waiting_for->never_ends || thread.waiting_for->has_time_limit)
            continue;
        if (told.insert(thread.tid).second) add_waits(thread, finding);
    }
    if (finding.threads.empty()) return;
    const Thread& first = *find_thread(dump, finding.threads.front());
    finding.summary =
        fmt::format("{} waits for ever for {}", thread_words(first), first.waiting_for->summary);
    const std::size_t refused = finding.threads.size();
    if (refused == 2) {
        finding.summary +=
            fmt::format("; so does {}", thread_words(*find_thread(dump, finding.threads.back())));
    } else if (refused > 2) {
        finding.summary += fmt::format("; so do {} other threads", refused - 1);
    }
    for (std::size_t i = 0; i < finding.threads.size(); ++i) {
        for (const Thread& thread : dump.threads) {
            const Thread* owner = waits_for_thread(dump, thread);
            if (owner == nullptr || owner->tid != finding.threads[i] || !told.insert(thread.tid).second)
                continue;
            add_waits(thread, finding);
        }
    }
    const std::size_t waiting = finding.threads.size() - refused;
    if (waiting == 1) {
        finding.summary +=
            fmt::format("; {} waits for {}", thread_words(*find_thread(dump, finding.threads.back())),
                        refused == 1 ? "it" : "one of them");
    } else if (waiting > 1) {
        finding.summary += fmt::format("; {} threads wait for {}", waiting, refused == 1 ? "it" : "them");
    }
    findings.push_back(std::move(finding));
}

/// A std::mutex that a coroutine locked and holds while it is suspended: whoever waits for it waits for the
/// coroutine. The thread that locked it may still be the one to resume the coroutine, which is why this is no
/// error.
void find_mutexes_of_coroutines(const Dump& dump, std::vector<Finding>& findings,
                                const std::set<std::int32_t>& told) {
    for (const ObservedLock& lock : dump.observed.locks) {
        if (!lock.blocks_threads || lock.holders.empty()) continue;
        Finding finding;
        finding.kind = "thread_deadlock";
        for (const Thread& thread : dump.threads) {
            const bool waits = thread.waiting_for && thread.waiting_for->address == lock.address;
            if (waits && !told.contains(thread.tid)) add_waits(thread, finding);
        }
        if (finding.threads.empty()) continue;
        finding.summary = fmt::format(
            "{} for mutex {:#x}, which {} holds while it is suspended",
            finding.threads.size() == 1 ? thread_words(*find_thread(dump, finding.threads.front())) + " waits"
                                        : fmt::format("{} threads wait", finding.threads.size()),
            lock.address.value(), place_words(dump, lock.holders.front().coroutine));
        add_holders(dump, lock, finding);
        findings.push_back(std::move(finding));
    }
}

bool waits_for_result(const Thread& thread) {
    if (!thread.waiting_for || !thread.waiting_for->for_event || thread.waiting_for->has_time_limit ||
        thread.waiting_for->from_outside)
        return false;
    return std::ranges::any_of(thread.frames, [](const ThreadFrame& frame) {
        for (const std::string_view word :
             {"future", "sync_wait", "syncWait", "blockingWait", "block_on", "waitFor"}) {
            if (frame.function.find(word) != std::string::npos) return true;
        }
        return false;
    });
}

/// The only thread that runs coroutines waits for a mutex; its owner waits for the result of something that
/// has to run. It can be wrong when a thread without an event loop produces that result: therefore only when
/// no such thread is running or will by itself.
void find_mixed(const Dump& dump, std::vector<Finding>& findings, const std::set<std::int32_t>& told) {
    for (const Thread& executor : dump.threads) {
        const Thread* owner = waits_for_thread(dump, executor);
        if (owner == nullptr || owner == &executor || told.contains(executor.tid) || !is_executor(executor))
            continue;
        if (!waits_for_result(*owner) || is_executor(*owner)) continue;
        // The end of another thread (std::async) is that thread's business.
        const std::int32_t awaited = owner->waiting_for->owner;
        if (awaited != 0 && awaited != executor.tid) continue;
        const bool others_may_run = std::ranges::any_of(dump.threads, [&](const Thread& other) {
            return &other != &executor && &other != owner &&
                   (is_executor(other) || other.state == "disk" || may_go_on(other));
        });
        if (others_may_run) continue;
        Finding finding;
        finding.kind = "thread_deadlock";
        finding.is_error = true;
        finding.summary = fmt::format(
            "{}, the only thread that runs coroutines, waits for {}, which itself waits for a result that "
            "has to be "
            "computed there",
            thread_words(executor), executor.waiting_for->summary);
        add_waits(executor, finding);
        add_waits(*owner, finding);
        const std::size_t frame = innermost_coroutine(executor);
        if (frame < executor.frames.size()) finding.coroutines.push_back(executor.frames[frame].coroutine);
        finding.evidence.emplace_back(
            "no other thread of the process runs coroutines, is running, or will by itself");
        findings.push_back(std::move(finding));
    }
}

}  // namespace

std::vector<Finding> find_thread_deadlocks(const Dump& dump) {
    std::vector<Finding> findings;
    std::set<std::int32_t> told;
    find_circles(dump, findings, told);
    find_refused(dump, findings, told);
    find_mutexes_of_coroutines(dump, findings, told);
    find_mixed(dump, findings, told);
    return findings;
}

}  // namespace asyncdump
