#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "graph/findings/findings.h"
#include "graph/findings/words.h"

namespace asyncdump {
namespace {

constexpr std::size_t longest_chain = 32;
constexpr std::size_t most_members = 1000;

/// Which coroutines something leads to that could come to resume them: memory outside all frames, or the
/// frame of one that can itself be resumed. A parent's own handle to the child that it awaits does not count:
/// the parent goes on only after the child. It does count when somebody uses the parent's inside (its
/// promise, its locals), where the child may have left its own handle.
class Reach {
  public:
    explicit Reach(const Dump& dump) : dump_(dump), levels_(dump.observed.coroutines.size(), Hold::none) {
        const auto& coroutines = dump.observed.coroutines;
        std::vector<std::uint32_t> queue;
        for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
            const bool runs = coroutines[i].state == CoroutineState::running;
            levels_[i] = runs || coroutines[i].held == Hold::unknown ? Hold::inside : coroutines[i].held;
            if (levels_[i] != Hold::none) queue.push_back(i);
        }
        std::vector<std::vector<const Reference*>> references(coroutines.size());
        for (const Reference& reference : dump.observed.references)
            references[reference.from].push_back(&reference);
        std::vector<std::vector<std::uint32_t>> by_objects(coroutines.size());
        for (const HoldByObjects& hold : dump.observed.holds_by_objects) {
            for (const std::uint32_t from : hold.known_by) by_objects[from].push_back(hold.coroutine);
        }
        while (!queue.empty()) {
            const std::uint32_t from = queue.back();
            queue.pop_back();
            for (const std::uint32_t to : by_objects[from]) {
                if (levels_[to] == Hold::inside || (levels_[from] != Hold::inside && awaits(from, to)))
                    continue;
                levels_[to] = Hold::inside;
                queue.push_back(to);
            }
            for (const Reference* reference : references[from]) {
                if (is_own_handle_to_child(*reference) && levels_[from] != Hold::inside) continue;
                const bool is_handle = reference->target == Reference::Target::frame;
                const Hold level = is_handle ? Hold::handle : Hold::inside;
                if (levels_[reference->to] >= level) continue;
                levels_[reference->to] = level;
                queue.push_back(reference->to);
            }
        }
    }

    bool reaches(std::uint32_t coroutine) const { return levels_[coroutine] != Hold::none; }

  private:
    bool is_own_handle_to_child(const Reference& reference) const {
        // Where the code alone tells what the promise is, no verdict rests on it.
        if (!reference.promise_known || reference.origin == Reference::Origin::promise ||
            dump_.observed.coroutines[reference.from].promise_unknown)
            return false;
        return awaits(reference.from, reference.to);
    }
    bool awaits(std::uint32_t from, std::uint32_t to) const {
        return std::ranges::find(dump_.awaits.of(from), to) != dump_.awaits.of(from).end();
    }

    const Dump& dump_;
    std::vector<Hold> levels_;
};

bool is_candidate(const Dump& dump, std::uint32_t i) {
    const ObservedCoroutine& coroutine = dump.observed.coroutines[i];
    return coroutine.state == CoroutineState::suspended && coroutine.at_await && !coroutine.at_yield &&
           !coroutine.doubtful && coroutine.held == Hold::none && dump.awaits.of(i).empty();
}

Finding describe(const Dump& dump, std::vector<std::uint32_t> leaves) {
    Finding finding;
    finding.kind = "unwakeable";
    finding.is_error = dump.observed.holds_uncertain.empty();
    const std::uint32_t leaf = leaves.front();
    std::size_t awaiting = 0;
    finding.coroutines = leaves;
    finding.coroutines.resize(std::min(leaves.size(), most_members));
    for (const std::uint32_t lost : leaves) {
        std::uint32_t at = lost;
        for (std::size_t i = 0; i < longest_chain && !dump.awaited_by.of(at).empty(); ++i) {
            at = dump.awaited_by.of(at).front();
            if (std::ranges::find(finding.coroutines, at) != finding.coroutines.end()) break;
            ++awaiting;
            if (finding.coroutines.size() < most_members) finding.coroutines.push_back(at);
        }
    }
    const bool one = leaves.size() == 1;
    const std::string who =
        one ? place_words(dump, leaf)
            : fmt::format("{} coroutines, each {},", leaves.size(), place_words(dump, leaf));
    finding.summary = fmt::format("{} {} suspended and nothing leads to {} any more: {} never be resumed",
                                  who, one ? "is" : "are", one ? "it" : "them", one ? "it can" : "they can");
    if (!finding.is_error) finding.summary += ", as far as memory tells";
    if (awaiting > 0) finding.summary += fmt::format("; {} more await {}", awaiting, one ? "it" : "them");
    const auto by_objects =
        std::ranges::find(dump.observed.holds_by_objects, leaf, &HoldByObjects::coroutine);
    const bool has_objects = by_objects != dump.observed.holds_by_objects.end();
    if (has_objects)
        finding.evidence.push_back(fmt::format(
            "{} in allocated memory ({:#x}) {} an address in the frame {:#x}, and to {} nothing leads but {}",
            by_objects->objects.size() == 1 ? "an object" : "objects",
            by_objects->objects.front().begin.value(), by_objects->objects.size() == 1 ? "holds" : "hold",
            dump.observed.coroutines[leaf].address.value(), by_objects->objects.size() == 1 ? "it" : "them",
            by_objects->known_by.empty() ? "the coroutine itself" : "coroutines that cannot go on either"));
    finding.evidence.push_back(
        fmt::format("no {}register, stack, global variable or allocated block of memory holds an address in "
                    "the frame {:#x}{} (one that is kept compressed or encoded would not be seen)",
                    has_objects ? "other " : "", dump.observed.coroutines[leaf].address.value(),
                    awaiting > 0 ? ", except the coroutines that await it" : ""));
    if (!finding.is_error) finding.evidence.push_back(dump.observed.holds_uncertain);
    return finding;
}

}  // namespace

std::vector<std::uint32_t> unwakeable_coroutines(const Dump& dump) {
    const auto count = static_cast<std::uint32_t>(dump.observed.coroutines.size());
    std::vector<std::uint32_t> candidates;
    for (std::uint32_t i = 0; i < count; ++i) {
        if (is_candidate(dump, i)) candidates.push_back(i);
    }
    if (candidates.empty()) return {};
    const Reach reach(dump);
    std::erase_if(candidates, [&](std::uint32_t candidate) { return reach.reaches(candidate); });
    return candidates;
}

std::vector<Finding> find_unwakeable(const Dump& dump) {
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<std::uint32_t>> lost;
    for (const std::uint32_t candidate : unwakeable_coroutines(dump)) {
        const ObservedCoroutine& coroutine = dump.observed.coroutines[candidate];
        lost[{coroutine.function, coroutine.suspended_at}].push_back(candidate);
    }
    std::vector<Finding> findings;
    for (auto& [place, leaves] : lost) findings.push_back(describe(dump, std::move(leaves)));
    return findings;
}

}  // namespace asyncdump
