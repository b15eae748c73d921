#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/findings/doubts.h"
#include "graph/findings/findings.h"
#include "graph/findings/strong_components.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_told = 4;

bool is_suspended(const Dump& dump, std::uint32_t coroutine) {
    return dump.observed.coroutines[coroutine].state == CoroutineState::suspended;
}

/// "awaits" and "waits for a lock that is held by" as one graph.
class WaitGraph {
  public:
    explicit WaitGraph(const Dump& dump) : dump_(dump), targets_(dump.observed.coroutines.size()) {
        for (std::uint32_t i = 0; i < dump.observed.locks.size(); ++i) {
            if (is_usable(dump.observed.locks[i])) locks_.push_back(i);
        }
        connect();
    }

    /// Circles in which at least one lock takes part. A lock binds its waiters only when all its known
    /// holders are caught in the same circle: one that is not will give it back.
    std::vector<std::vector<std::uint32_t>> find_components() {
        while (true) {
            auto components = find_cyclic_components(
                static_cast<std::uint32_t>(targets_.size()), [this](std::uint32_t coroutine) {
                    return std::span<const std::uint32_t>(targets_[coroutine]);
                });
            const std::size_t removed = std::erase_if(locks_, [&](std::uint32_t lock) {
                return std::ranges::any_of(
                    components, [&](const auto& component) { return has_way_out(lock, component); });
            });
            if (removed == 0) return components;
            connect();
        }
    }

    std::span<const std::uint32_t> targets(std::uint32_t coroutine) const { return targets_[coroutine]; }

    /// The lock for which `waiter` waits and that `holder` holds; nullptr when it is an await edge.
    const ObservedLock* lock_between(std::uint32_t waiter, std::uint32_t holder) const {
        for (const std::uint32_t index : locks_) {
            const ObservedLock& lock = dump_.observed.locks[index];
            if (std::ranges::find(lock.waiters, waiter) == lock.waiters.end()) continue;
            if (std::ranges::find(lock.holders, holder, &ObservedLock::Holder::coroutine) !=
                lock.holders.end())
                return &lock;
        }
        return nullptr;
    }

  private:
    /// A mutex has one holder: several that seem to hold it contradict each other, and none is believed.
    static bool is_usable(const ObservedLock& lock) {
        return !lock.blocks_threads && !lock.holders.empty() && !lock.waiters.empty() &&
               (lock.has_several_permits || lock.holders.size() == 1);
    }

    bool has_way_out(std::uint32_t index, std::span<const std::uint32_t> component) const {
        const ObservedLock& lock = dump_.observed.locks[index];
        const auto is_member = [&](std::uint32_t coroutine) {
            return std::ranges::binary_search(component, coroutine);
        };
        const auto holds_inside = [&](const ObservedLock::Holder& holder) {
            return is_member(holder.coroutine);
        };
        return std::ranges::any_of(lock.waiters, is_member) &&
               std::ranges::any_of(lock.holders, holds_inside) &&
               !std::ranges::all_of(lock.holders, holds_inside);
    }

    void connect() {
        for (std::uint32_t i = 0; i < targets_.size(); ++i) {
            const auto awaited = dump_.awaits.of(i);
            targets_[i].assign(awaited.begin(), awaited.end());
        }
        for (const std::uint32_t index : locks_) {
            const ObservedLock& lock = dump_.observed.locks[index];
            for (const std::uint32_t waiter : lock.waiters) {
                if (!is_suspended(dump_, waiter)) continue;
                for (const ObservedLock::Holder& holder : lock.holders)
                    targets_[waiter].push_back(holder.coroutine);
            }
        }
    }

    const Dump& dump_;
    std::vector<std::uint32_t> locks_;
    std::vector<std::vector<std::uint32_t>> targets_;
};

std::string lock_words(const ObservedLock& lock) {
    return fmt::format("{} {:#x}", lock.type.empty() ? "a lock" : lock.type, lock.address.value());
}

Finding describe(const Dump& dump, const WaitGraph& graph, std::span<const std::uint32_t> circle) {
    Finding finding;
    finding.kind = "lock_cycle";
    finding.is_error = true;
    finding.coroutines.assign(circle.begin(), circle.end());
    std::size_t locks = 0;
    const ObservedLock* first_lock = nullptr;
    bool is_about_one_semaphore = false, rests_on_unnamed_guard = false;
    std::string words;
    const std::vector<std::string> places = distinct_place_words(dump, circle);
    for (std::size_t i = 0; i < circle.size(); ++i) {
        const std::uint32_t next = circle[(i + 1) % circle.size()];
        const ObservedLock* lock = graph.lock_between(circle[i], next);
        if (lock == nullptr) continue;
        is_about_one_semaphore = lock->has_several_permits && (first_lock == nullptr || first_lock == lock) &&
                                 (first_lock == nullptr || is_about_one_semaphore);
        if (first_lock == nullptr) first_lock = lock;
        if (locks++ < most_told) {
            words += fmt::format("{}{} waits for {} held by {}", words.empty() ? "" : ", ", places[i],
                                 lock_words(*lock),
                                 next == circle[i] ? "itself" : places[(i + 1) % circle.size()]);
        }
        for (const ObservedLock::Holder& holder : lock->holders) {
            if (holder.coroutine != next) continue;
            rests_on_unnamed_guard = rests_on_unnamed_guard || !holder.is_certain;
            finding.evidence.push_back(fmt::format("{} holds {}: {}", places[(i + 1) % circle.size()],
                                                   lock_words(*lock), holder.evidence));
        }
    }
    if (locks > most_told) words += ", and so on";
    add_doubts(dump, circle, finding);
    if (is_about_one_semaphore) {
        finding.is_error = false;
        finding.evidence.emplace_back(
            "several may hold it at once: one that is not suspended, or an object elsewhere, may give back "
            "what "
            "they wait for");
    }
    if (rests_on_unnamed_guard) {
        finding.is_error = false;
        finding.evidence.emplace_back(
            "what refers to the lock has a destructor of its own, but not the name of a guard: it may only "
            "use "
            "the lock");
    }
    finding.summary =
        fmt::format("{}: {}",
                    locks == 1 ? "a coroutine waits for a lock that cannot be released before it goes on"
                               : fmt::format("{} locks are waited for in a circle", locks),
                    words);
    return finding;
}

}  // namespace

std::vector<Finding> find_lock_cycles(const Dump& dump) {
    if (dump.observed.locks.empty()) return {};
    WaitGraph graph(dump);
    std::vector<Finding> findings;
    for (const auto& component : graph.find_components()) {
        const bool all_wait =
            std::ranges::all_of(component, [&](std::uint32_t member) { return is_suspended(dump, member); });
        if (!all_wait) continue;
        const auto targets = [&](std::uint32_t coroutine) { return graph.targets(coroutine); };
        // Begin at one that waits for a lock of the component: the circle through it passes the lock.
        for (const std::uint32_t member : component) {
            const bool waits_for_lock = std::ranges::any_of(targets(member), [&](std::uint32_t target) {
                return std::ranges::binary_search(component, target) &&
                       graph.lock_between(member, target) != nullptr;
            });
            if (!waits_for_lock) continue;
            const auto circle = find_circle(component, member, targets);
            if (!circle.empty()) findings.push_back(describe(dump, graph, circle));
            break;
        }
    }
    return findings;
}

}  // namespace asyncdump
