#include <fmt/format.h>

#include <algorithm>

#include "graph/findings/doubts.h"
#include "graph/findings/findings.h"
#include "graph/findings/strong_components.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_told = 5;

std::string circle_words(const Dump& dump, std::span<const std::uint32_t> circle) {
    const auto places = distinct_place_words(dump, circle.first(std::min(circle.size(), most_told)));
    std::string words = places.front();
    for (std::size_t i = 1; i < places.size(); ++i) {
        words += (i == 1 ? " awaits " : ", which awaits ") + places[i];
    }
    if (circle.size() > most_told)
        words += fmt::format(", and so on over {} more", circle.size() - most_told);
    return words + (circle.size() == 1 ? " awaits itself" : ", which awaits the first again");
}

}  // namespace

std::vector<Finding> find_await_cycles(const Dump& dump) {
    const auto awaits = [&](std::uint32_t coroutine) { return dump.awaits.of(coroutine); };
    const auto count = static_cast<std::uint32_t>(dump.observed.coroutines.size());
    std::vector<Finding> findings;
    for (const auto& members : find_cyclic_components(count, awaits)) {
        const bool all_wait = std::ranges::all_of(members, [&](std::uint32_t member) {
            return dump.observed.coroutines[member].state == CoroutineState::suspended;
        });
        const auto circle = find_circle(members, members.front(), awaits);
        if (!all_wait || circle.empty()) continue;
        const auto way_out = std::ranges::find_if(members, [&](std::uint32_t member) {
            return std::ranges::any_of(awaits(member), [&](std::uint32_t child) {
                return !std::ranges::binary_search(members, child);
            });
        });
        // Without debug information who awaits whom is told by code and by the places of words: good enough
        // to be shown, not to act on.
        const bool is_certain = std::ranges::none_of(
            members, [&](std::uint32_t member) { return dump.observed.coroutines[member].promise_unknown; });
        Finding finding;
        finding.kind = "await_cycle";
        finding.is_error = way_out == members.end() && is_certain;
        finding.summary =
            fmt::format("{} in a circle: {}{}",
                        members.size() == 1 ? "a coroutine awaits itself"
                                            : fmt::format("{} coroutines await each other", members.size()),
                        circle_words(dump, circle), finding.is_error ? "; none of them can ever go on" : "");
        finding.coroutines = circle;
        for (const std::uint32_t member : members) {
            if (std::ranges::find(circle, member) == circle.end()) finding.coroutines.push_back(member);
        }
        finding.evidence.emplace_back(
            "each of them is suspended, and its frame and the next one's refer to each other");
        if (!is_certain) {
            finding.evidence.emplace_back(
                "some of them have no debug information: which of two that know each other awaits the other "
                "is told by their code and the places of references, and may be the other way round");
        }
        add_doubts(dump, circle, finding);
        if (way_out != members.end()) {
            finding.evidence.push_back(
                fmt::format("{} also awaits a coroutine outside the circle: if one of several is enough for "
                            "it, it may go on",
                            place_words(dump, *way_out)));
        }
        findings.push_back(std::move(finding));
    }
    return findings;
}

}  // namespace asyncdump
