#include "graph/await_graph.h"

#include <algorithm>
#include <map>
#include <set>

#include "graph/edges.h"
#include "graph/evidence.h"

namespace asyncdump {
namespace {

using Origin = Reference::Origin;

/// Whether the opposite is certain: the parent's promise is meant to lead to the child, and does. Then what
/// leads from the child into the parent is only a value that it was given (a generator's current one). Or
/// only the places of the words speak for it, and speak for the opposite as well.
bool is_contradicted(const EvidenceTable& table, const Observation& observation, const Evidence& evidence) {
    if (evidence.typed_continuation && evidence.precise_continuation) return false;
    const Evidence* const opposite = table.find(evidence.child, evidence.parent);
    if (opposite == nullptr || !is_possible(observation, *opposite)) return false;
    const bool is_certain = opposite->typed_continuation && opposite->precise_continuation && opposite->held;
    return is_certain || (rests_on_places(evidence) && is_confirmed(*opposite));
}

std::string_view awaiter_type(const Observation& observation, std::uint32_t coroutine) {
    const std::uint32_t awaiting = observation.coroutines[coroutine].awaiting;
    return awaiting == no_index ? std::string_view() : observation.awaitings[awaiting].type;
}

/// Several may await one coroutine, which knows only the first or the last of them: the others stand in a
/// list that begins there. Their live awaiters lead to it, and are of the type that the known one has. Asked
/// in the order of the evidence, it looks once at what there is of each child, of which there may be very
/// much.
class KnownWaiters {
  public:
    KnownWaiters(const EvidenceTable& table, const Observation& observation)
        : table_(table), observation_(observation) {}

    bool has_one_like(const Evidence& evidence) {
        const std::string_view type = awaiter_type(observation_, evidence.parent);
        if (!evidence.awaited || type.empty()) return false;
        if (evidence.child != child_) find_types(evidence.child);
        return types_.contains(type);
    }

  private:
    void find_types(std::uint32_t child) {
        child_ = child;
        types_.clear();
        for (const Evidence& other : table_.of_child(child)) {
            if (other.awaited && is_confirmed(other) && is_possible(observation_, other))
                types_.insert(awaiter_type(observation_, other.parent));
        }
    }

    const EvidenceTable& table_;
    const Observation& observation_;
    std::uint32_t child_ = no_index;
    std::set<std::string_view> types_;
};

/// The same where the awaiters' places are not known: along the links from the frame of a known waiter to
/// others that hold the awaited coroutine as well and wait by an awaiter of the same type.
void add_linked_waiters(const Observation& observation, const EvidenceTable& table,
                        std::vector<Edge>& edges) {
    std::multimap<std::uint32_t, std::uint32_t> links;
    for (const Reference& reference : observation.references) {
        const bool may_be_link =
            reference.hops == 0 && reference.origin != Origin::promise && !is_handle_like(reference);
        if (may_be_link) links.emplace(reference.from, reference.to);
    }
    if (links.empty()) return;
    std::vector<Edge> heads;
    for (const auto& [parent, child] : edges) {
        if (!links.contains(parent)) continue;
        const Evidence* const evidence = table.find(parent, child);
        if (evidence != nullptr && evidence->continuation && evidence->held &&
            (!evidence->precise_continuation || evidence->awaited))
            heads.emplace_back(parent, child);
    }
    for (auto [parent, child] : heads) {
        std::set<std::uint32_t> seen{parent};
        const std::string_view type = awaiter_type(observation, parent);
        for (bool goes_on = !type.empty(); goes_on;) {
            goes_on = false;
            const auto [first, last] = links.equal_range(parent);
            for (auto link = first; link != last && !goes_on; ++link) {
                const Evidence* const next = table.find(link->second, child);
                if (next == nullptr || !next->held || !is_possible(observation, *next) ||
                    awaiter_type(observation, next->parent) != type || !seen.insert(next->parent).second)
                    continue;
                parent = next->parent;
                edges.emplace_back(parent, child);
                goes_on = true;
            }
        }
    }
}

}  // namespace

std::vector<Edge> decide_edges(const Observation& observation) {
    const EvidenceTable evidence(observation);
    std::vector<bool> has_confirmed_parent(observation.coroutines.size());
    std::vector<bool> awaits_by_awaiter(observation.coroutines.size());
    std::set<Edge> paths_from_promises;
    for (const Evidence& entry : evidence.all()) {
        if (!is_possible(observation, entry)) continue;
        if (entry.path_from_promise) paths_from_promises.emplace(entry.parent, entry.child);
        if (is_confirmed(entry)) has_confirmed_parent[entry.child] = true;
        if (is_confirmed(entry) && entry.awaited) awaits_by_awaiter[entry.parent] = true;
    }
    KnownWaiters known_waiters(evidence, observation);
    std::vector<Edge> to_parents;
    to_parents.reserve(observation.coroutines.size());
    for (const Evidence& entry : evidence.all()) {
        if (!is_possible(observation, entry)) continue;
        bool believed = false;
        if (is_confirmed(entry)) {
            // The live awaiter of the parent names what it awaits; children held elsewhere are not awaited
            // now.
            believed = entry.awaited || (!awaits_by_awaiter[entry.parent] &&
                                         !observation.coroutines[entry.parent].awaiter_known);
        } else if (entry.path) {
            // Waiters and what they wait for may share an object; the one whose promise leads to it is the
            // awaited.
            believed = entry.path_from_promise || !paths_from_promises.contains({entry.child, entry.parent});
        } else if (!has_confirmed_parent[entry.child]) {
            believed = entry.awaited || (entry.typed_continuation && entry.precise_continuation &&
                                         !awaits_by_awaiter[entry.parent]);
        } else {
            believed = known_waiters.has_one_like(entry);
        }
        if (believed && !is_contradicted(evidence, observation, entry))
            to_parents.emplace_back(entry.child, entry.parent);
    }
    std::vector<Edge> edges = reversed(to_parents, observation.coroutines.size());
    add_linked_waiters(observation, evidence, edges);
    if (!std::ranges::is_sorted(edges)) std::ranges::sort(edges);
    const auto [first, last] = std::ranges::unique(edges);
    edges.erase(first, last);
    return edges;
}

}  // namespace asyncdump
