#include "graph/await_graph.h"

#include <algorithm>
#include <compare>
#include <optional>
#include <set>
#include <string_view>

#include "graph/edges.h"
#include "graph/evidence.h"
#include "graph/findings/strong_components.h"

namespace asyncdump {
namespace {

using Origin = Reference::Origin;

/// Whether the opposite is certain: the parent's frame lies in the child's (elided allocation), or the
/// parent's promise is meant to lead to the child, and does. Then what leads from the child into the parent
/// is only a value that it was given (a generator's current one). Or, as far as one can tell without debug
/// information, nothing speaks more for it than for the opposite.
bool is_contradicted(const EvidenceTable& table, const Observation& observation, const Evidence& evidence) {
    if (evidence.contains) return false;
    const Evidence* const opposite = table.find(evidence.child, evidence.parent);
    if (opposite == nullptr || !is_possible(observation, *opposite)) return false;
    if (opposite->contains) return true;
    if (evidence.typed_continuation && evidence.precise_continuation) return false;
    const bool is_certain = opposite->typed_continuation && opposite->precise_continuation && opposite->held;
    return is_certain || is_outweighed(evidence, *opposite);
}

std::string_view awaiter_type(const Observation& observation, std::uint32_t coroutine) {
    const std::uint32_t awaiting = observation.coroutines[coroutine].awaiting;
    return awaiting == no_index ? std::string_view() : observation.awaitings[awaiting].type;
}

/// Several may await one coroutine, which knows only the first or the last of them: the others stand in a
/// list that begins there. Their live awaiters lead to it, and are of the type that the known one has;
/// without debug information, they are at the same place in frames of the same function. Asked in the order
/// of the evidence, it looks once at what there is of each child, of which there may be very much.
class KnownWaiters {
  public:
    KnownWaiters(const EvidenceTable& table, const Observation& observation)
        : table_(table), observation_(observation) {}

    bool has_one_like(const Evidence& evidence) {
        const auto kind = kind_of(evidence);
        if (!kind) return false;
        if (evidence.child != child_) find_kinds(evidence.child);
        return kinds_.contains(*kind);
    }

  private:
    struct Kind {
        std::string_view awaiter_type;
        std::uint32_t function = 0, offset = 0;  ///< without a type
        auto operator<=>(const Kind&) const = default;
    };

    std::optional<Kind> kind_of(const Evidence& evidence) const {
        const std::string_view type = awaiter_type(observation_, evidence.parent);
        if (evidence.awaited && !type.empty()) return Kind{type, 0, 0};
        if (!evidence.read_first) return std::nullopt;
        return Kind{"", observation_.coroutines[evidence.parent].function, evidence.handle_offset};
    }

    void find_kinds(std::uint32_t child) {
        child_ = child;
        kinds_.clear();
        for (const Evidence& other : table_.of_child(child)) {
            if (!is_confirmed(other) || !is_possible(observation_, other)) continue;
            if (const auto kind = kind_of(other)) kinds_.insert(*kind);
        }
    }

    const EvidenceTable& table_;
    const Observation& observation_;
    std::uint32_t child_ = no_index;
    std::set<Kind> kinds_;
};

/// The same where the awaiters' places are not known: along the links from the frame of a known waiter to
/// others that hold the awaited coroutine as well and wait by an awaiter of the same type, or by one that is
/// known to hold it (where no type is known, that are calls of the same function).
void add_linked_waiters(const Observation& observation, const EvidenceTable& table,
                        std::vector<Edge>& edges) {
    std::set<Edge> links;
    for (const Reference& reference : observation.references) {
        // Lists run through the awaiters.
        const bool is_of_awaiter =
            !observation.coroutines[reference.from].awaiter_known || reference.origin == Origin::live_awaiter;
        const bool may_be_link = reference.hops == 0 && reference.origin != Origin::promise &&
                                 is_of_awaiter && !is_handle_like(reference);
        if (may_be_link) links.emplace(reference.from, reference.to);
    }
    if (links.empty()) return;
    std::vector<Edge> heads;
    for (const auto& [parent, child] : edges) {
        const auto link = links.lower_bound({parent, 0});
        if (link == links.end() || link->first != parent) continue;
        const Evidence* const evidence = table.find(parent, child);
        if (evidence != nullptr && evidence->continuation && evidence->held &&
            (!evidence->precise_continuation || evidence->awaited))
            heads.emplace_back(parent, child);
    }
    const auto is_same_function = [&](std::uint32_t one, std::uint32_t other) {
        return observation.coroutines[one].function == observation.coroutines[other].function;
    };
    for (auto [parent, child] : heads) {
        std::set<std::uint32_t> seen{parent};
        const std::string_view type = awaiter_type(observation, parent);
        for (bool goes_on = true; goes_on;) {
            goes_on = false;
            auto link = links.lower_bound({parent, 0});
            for (; link != links.end() && link->first == parent && !goes_on; ++link) {
                const Evidence* const next = table.find(link->second, child);
                if (next == nullptr || !next->held || !is_possible(observation, *next) ||
                    (awaiter_type(observation, next->parent) != type && !next->awaited) ||
                    (type.empty() && !is_same_function(parent, next->parent)) ||
                    !seen.insert(next->parent).second)
                    continue;
                parent = next->parent;
                edges.emplace_back(parent, child);
                goes_on = true;
            }
        }
    }
}

/// Edges of which nothing speaks but a handle in the parent's live awaiter. That may also be of somebody who
/// is woken, or whom the turn is passed to.
class OneSidedEdges {
  public:
    explicit OneSidedEdges(const Observation& observation) : observation_(observation) {}

    /// Who has a promise without any member, and does not know the parent's frame, can never let it go on.
    bool is_impossible(const Evidence& evidence) {
        if (!observation_.coroutines[evidence.child].promise_empty) return false;
        if (!links_) find_links();
        return !links_->contains({evidence.child, evidence.parent});
    }

    void add(const Evidence& evidence) { edges_.emplace_back(evidence.parent, evidence.child); }

    /// A circle of nothing but such edges is none of awaiting: each of the awaited would have to know who
    /// awaits it.
    void remove_circles_from(std::vector<Edge>& edges) {
        if (edges_.empty()) return;
        std::ranges::sort(edges_);
        const EdgeTable table = table_of(edges_, observation_.coroutines.size());
        const auto count = static_cast<std::uint32_t>(observation_.coroutines.size());
        const auto circles =
            find_cyclic_components(count, [&](std::uint32_t coroutine) { return table.of(coroutine); });
        for (const auto& members : circles) {
            const auto is_member = [&](std::uint32_t one) {
                return std::ranges::binary_search(members, one);
            };
            std::erase_if(edges, [&](const Edge& edge) {
                return is_member(edge.first) && is_member(edge.second) &&
                       std::ranges::binary_search(edges_, edge);
            });
        }
    }

  private:
    void find_links() {
        links_.emplace();
        for (const Reference& reference : observation_.references) {
            if (reference.hops == 0 && !is_handle_like(reference))
                links_->emplace(reference.from, reference.to);
        }
    }

    const Observation& observation_;
    std::vector<Edge> edges_;
    std::optional<std::set<Edge>> links_;  ///< from a frame into another one
};

}  // namespace

std::vector<Edge> decide_edges(const Observation& observation) {
    const EvidenceTable evidence(observation);
    std::vector<bool> has_confirmed_parent(observation.coroutines.size());
    std::vector<bool> awaits_by_awaiter(observation.coroutines.size());
    std::vector<bool> reads_child_first(observation.coroutines.size());
    std::set<Edge> paths_from_promises;
    for (const Evidence& entry : evidence.all()) {
        if (!is_possible(observation, entry)) continue;
        if (entry.path_from_promise) paths_from_promises.emplace(entry.parent, entry.child);
        if (!is_confirmed(entry)) continue;
        if (rests_on_code_or_places(entry) && is_contradicted(evidence, observation, entry)) continue;
        has_confirmed_parent[entry.child] = true;
        if (entry.awaited) awaits_by_awaiter[entry.parent] = true;
        if (entry.read_first) reads_child_first[entry.parent] = true;
    }
    KnownWaiters known_waiters(evidence, observation);
    OneSidedEdges one_sided(observation);
    std::vector<Edge> to_parents;
    to_parents.reserve(observation.coroutines.size());
    for (const Evidence& entry : evidence.all()) {
        if (!is_possible(observation, entry)) continue;
        bool believed = false;
        if (is_confirmed(entry)) {
            // The live awaiter of the parent names what it awaits; children held elsewhere are not awaited
            // now. What is read first is only one of several that are awaited together.
            believed = entry.awaited || entry.read_first ||
                       (!awaits_by_awaiter[entry.parent] &&
                        (entry.continuation || !reads_child_first[entry.parent]) &&
                        !observation.coroutines[entry.parent].awaiter_known);
        } else if (entry.path) {
            // Waiters and what they wait for may share an object; the one whose promise leads to it is the
            // awaited. Where the live awaiter leads to another one that knows it, other words are left over.
            believed =
                entry.path_from_promise || (!awaits_by_awaiter[entry.parent] &&
                                            !paths_from_promises.contains({entry.child, entry.parent}));
        } else if (!has_confirmed_parent[entry.child]) {
            const bool is_continuation = entry.typed_continuation && entry.precise_continuation;
            if (entry.awaited && !is_continuation) {
                believed = !one_sided.is_impossible(entry);
                if (believed) one_sided.add(entry);
            } else {
                believed = entry.awaited || (is_continuation && !awaits_by_awaiter[entry.parent] &&
                                             !observation.coroutines[entry.parent].waits_for_time_or_data);
            }
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
    one_sided.remove_circles_from(edges);
    return edges;
}

}  // namespace asyncdump
