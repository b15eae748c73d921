#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/findings/findings.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_members = 1000;

/// Whether the thread may be woken from outside the process, or by time alone.
bool may_be_woken(const Thread& thread) {
    if (thread.state == "running" || !thread.waiting_for) return true;
    if (thread.waiting_for->has_time_limit || thread.waiting_for->from_outside) return true;
    const std::string& kind = thread.waiting_for->kind;
    return kind == "io" || kind == "sleep" || kind == "other";
}

bool waits_for_input_or_time(const Dump& dump, const ObservedCoroutine& coroutine) {
    if (coroutine.awaiting == no_index) return false;
    const WaitKind kind = dump.observed.awaitings[coroutine.awaiting].kind;
    return kind == WaitKind::io || kind == WaitKind::timer;
}

}  // namespace

std::vector<Finding> find_stuck(const Dump& dump, std::chrono::seconds still) {
    std::set<std::uint32_t> told;
    for (const Finding& finding : dump.findings)
        told.insert(finding.coroutines.begin(), finding.coroutines.end());
    Finding finding;
    finding.kind = "stuck";
    std::size_t count = 0;
    for (std::uint32_t i = 0; i < dump.observed.coroutines.size(); ++i) {
        const ObservedCoroutine& coroutine = dump.observed.coroutines[i];
        const bool waits = coroutine.state == CoroutineState::suspended && coroutine.at_await &&
                           !coroutine.doubtful && dump.awaits.of(i).empty();
        if (!waits || told.contains(i) || waits_for_input_or_time(dump, coroutine)) continue;
        if (++count <= most_members) finding.coroutines.push_back(i);
    }
    if (count == 0) return {};
    const bool by_thread = std::ranges::any_of(dump.threads, may_be_woken);
    finding.is_error = !by_thread && dump.events_from_outside.empty();
    finding.summary = fmt::format(
        "no thread ran for {} s, and {} for something that is neither time nor input, as far as is "
        "known: {}{}",
        still.count(), count == 1 ? "a coroutine waits" : fmt::format("{} coroutines wait", count),
        place_words(dump, finding.coroutines.front()), count == 1 ? "" : ", for example");
    if (finding.is_error)
        finding.evidence.emplace_back(
            "every thread of the process waits for another one, without a time limit");
    else if (by_thread)
        finding.evidence.emplace_back(
            "a thread can still be woken from outside, and may then go on with them");
    else
        finding.evidence.push_back(fmt::format(
            "every thread waits for another one, but {} may wake one of them", dump.events_from_outside));
    return {std::move(finding)};
}

}  // namespace asyncdump
