#include "graph/await_graph.h"

#include <algorithm>
#include <map>
#include <set>

namespace asyncdump {
namespace {

using Edge = std::pair<std::uint32_t, std::uint32_t>;
using Origin = Reference::Origin;
using Target = Reference::Target;

/// Everything that two coroutines say of each other, seen as "parent awaits child".
struct Evidence {
    std::uint32_t parent = no_index, child = no_index;
    bool continuation = false;        ///< the child's promise leads to the parent
    bool typed_continuation = false;  ///< and debug information says that it is meant to
    bool precise_continuation =
        false;  ///< it points to the frame, the promise or the live awaiter, not to just some local
    bool awaited = false;            ///< the parent's live awaiter leads to the child
    bool held = false;               ///< another word of the parent, outside its promise, leads to the child
    bool contains = false;           ///< the child's frame lies in the parent's (elided allocation)
    bool path = false;               ///< a path over the heap, which was checked when it was found
    bool path_from_promise = false;  ///< and that begins in the child's promise
    bool from_unknown_promise = false;
    std::uint32_t continuation_offset = 0, handle_offset = 0;
};

bool is_handle_like(const Reference& reference) {
    return reference.target == Target::frame || reference.target == Target::promise;
}

/// By child, then parent. Of a child there are few: putting each child's together first is linear.
void sort_by_pair(std::vector<Evidence>& all, std::size_t coroutines) {
    std::vector<std::uint32_t> rows(coroutines + 1);
    for (const Evidence& evidence : all) ++rows[evidence.child + 1];
    for (std::size_t i = 1; i < rows.size(); ++i) rows[i] += rows[i - 1];
    std::vector<Evidence> sorted(all.size());
    std::vector<std::uint32_t> next = rows;
    for (const Evidence& evidence : all) sorted[next[evidence.child]++] = evidence;
    for (std::size_t i = 0; i < coroutines; ++i) {
        const auto begin = sorted.begin() + rows[i];
        std::ranges::sort(begin, sorted.begin() + rows[i + 1], {}, &Evidence::parent);
    }
    all = std::move(sorted);
}

/// One entry for each pair of which a reference speaks, in both roles.
std::vector<Evidence> gather(const Observation& observation) {
    std::vector<Evidence> all;
    all.reserve(observation.references.size() * 2);
    for (const Reference& reference : observation.references) {
        Evidence as_child;  // `from` is the child, the word its continuation
        as_child.parent = reference.to;
        as_child.child = reference.from;
        if (reference.hops > 0 && !reference.through_container) {
            as_child.path = true;
            as_child.path_from_promise = reference.origin == Origin::promise;
            all.push_back(as_child);
            continue;
        }
        if (reference.origin == Origin::promise) {
            if (!reference.is_list_link) {
                as_child.continuation = true;
                as_child.typed_continuation = reference.is_handle;
                as_child.precise_continuation = reference.target != Target::interior;
                as_child.awaited = reference.target == Target::live_awaiter;
                all.push_back(as_child);
            }
            continue;
        }
        if (!reference.promise_known && is_handle_like(reference)) {
            as_child.from_unknown_promise = true;
            as_child.continuation_offset = reference.offset;
            all.push_back(as_child);
        }
        if (is_handle_like(reference)) {
            Evidence as_parent;  // `from` is the parent, the word its handle to the child
            as_parent.parent = reference.from;
            as_parent.child = reference.to;
            if (reference.origin == Origin::live_awaiter) as_parent.awaited = true;
            as_parent.held = true;
            as_parent.contains = reference.offset == 0 && !reference.through_container;
            as_parent.handle_offset = reference.offset;
            all.push_back(as_parent);
        }
    }
    sort_by_pair(all, observation.coroutines.size());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (kept > 0 && all[kept - 1].child == all[i].child && all[kept - 1].parent == all[i].parent) {
            Evidence& into = all[kept - 1];
            const Evidence& more = all[i];
            into.continuation |= more.continuation;
            into.typed_continuation |= more.typed_continuation;
            into.precise_continuation |= more.precise_continuation;
            into.awaited |= more.awaited;
            into.held |= more.held;
            into.contains |= more.contains;
            into.path |= more.path;
            into.path_from_promise |= more.path_from_promise;
            if (more.from_unknown_promise) {
                into.continuation_offset = into.from_unknown_promise
                                               ? std::min(into.continuation_offset, more.continuation_offset)
                                               : more.continuation_offset;
                into.from_unknown_promise = true;
            }
            if (more.held) {
                into.handle_offset = std::max(into.handle_offset, more.handle_offset);
            }
        } else {
            all[kept++] = all[i];
        }
    }
    all.resize(kept);
    return all;
}

/// Without debug information: each refers to the other, and the child's word is the one nearer to the frame's
/// beginning.
bool is_confirmed_by_place(const Evidence& evidence) {
    if (!evidence.from_unknown_promise || !evidence.held) return false;
    return evidence.contains || evidence.continuation_offset < evidence.handle_offset;
}

bool is_confirmed(const Evidence& evidence) {
    return (evidence.continuation && evidence.held) || is_confirmed_by_place(evidence);
}

bool is_possible(const Observation& observation, const Evidence& evidence) {
    const ObservedCoroutine& parent = observation.coroutines[evidence.parent];
    const ObservedCoroutine& child = observation.coroutines[evidence.child];
    if (parent.state == CoroutineState::done || child.state == CoroutineState::done) return false;
    // A coroutine at its initial suspend point has not awaited anything yet.
    if (parent.state == CoroutineState::created) return false;
    // A generator between two values is nobody's; when it was asked for the next one, the asking awaiter
    // holds it. One that yields what another one yields stands at a co_yield of that one, and each knows the
    // other.
    if (!child.at_yield || evidence.awaited) return true;
    return parent.yields_by_object && evidence.typed_continuation && evidence.precise_continuation &&
           evidence.held;
}

const Evidence* find_evidence(std::span<const Evidence> sorted, std::uint32_t parent, std::uint32_t child) {
    const auto pair = [](const Evidence& entry) { return std::pair(entry.child, entry.parent); };
    const auto found = std::ranges::lower_bound(sorted, std::pair(child, parent), {}, pair);
    const bool is_found = found != sorted.end() && found->child == child && found->parent == parent;
    return is_found ? &*found : nullptr;
}

/// Whether the opposite is certain: the parent's promise is meant to lead to the child, and does. Then what
/// leads from the child into the parent is only a value that it was given (a generator's current one).
bool is_contradicted(std::span<const Evidence> sorted, const Observation& observation,
                     const Evidence& evidence) {
    if (evidence.typed_continuation && evidence.precise_continuation) return false;
    const Evidence* const opposite = find_evidence(sorted, evidence.child, evidence.parent);
    return opposite != nullptr && opposite->typed_continuation && opposite->precise_continuation &&
           opposite->held && is_possible(observation, *opposite);
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
    KnownWaiters(std::span<const Evidence> sorted, const Observation& observation)
        : sorted_(sorted), observation_(observation) {}

    bool has_one_like(std::size_t place) {
        const Evidence& evidence = sorted_[place];
        const std::string_view type = awaiter_type(observation_, evidence.parent);
        if (!evidence.awaited || type.empty()) return false;
        if (evidence.child != child_) find_types(evidence.child, place);
        return types_.contains(type);
    }

  private:
    void find_types(std::uint32_t child, std::size_t place) {
        child_ = child;
        types_.clear();
        while (place > 0 && sorted_[place - 1].child == child) --place;
        for (; place < sorted_.size() && sorted_[place].child == child; ++place) {
            const Evidence& other = sorted_[place];
            if (other.awaited && is_confirmed(other) && is_possible(observation_, other))
                types_.insert(awaiter_type(observation_, other.parent));
        }
    }

    std::span<const Evidence> sorted_;
    const Observation& observation_;
    std::uint32_t child_ = no_index;
    std::set<std::string_view> types_;
};

/// The same where the awaiters' places are not known: along the links from the frame of a known waiter to
/// others that hold the awaited coroutine as well and wait by an awaiter of the same type.
void add_linked_waiters(const Observation& observation, std::span<const Evidence> sorted,
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
        const Evidence* const evidence = find_evidence(sorted, parent, child);
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
                const Evidence* const next = find_evidence(sorted, link->second, child);
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
    const std::vector<Evidence> evidence = gather(observation);
    std::vector<bool> has_confirmed_parent(observation.coroutines.size());
    std::vector<bool> awaits_by_awaiter(observation.coroutines.size());
    std::set<Edge> paths_from_promises;
    for (const Evidence& entry : evidence) {
        if (!is_possible(observation, entry)) continue;
        if (entry.path_from_promise) paths_from_promises.emplace(entry.parent, entry.child);
        if (is_confirmed(entry)) has_confirmed_parent[entry.child] = true;
        if (is_confirmed(entry) && entry.awaited) awaits_by_awaiter[entry.parent] = true;
    }
    KnownWaiters known_waiters(evidence, observation);
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < evidence.size(); ++i) {
        const Evidence& entry = evidence[i];
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
            believed = known_waiters.has_one_like(i);
        }
        if (believed && !is_contradicted(evidence, observation, entry))
            edges.emplace_back(entry.parent, entry.child);
    }
    add_linked_waiters(observation, evidence, edges);
    std::ranges::sort(edges);
    const auto [first, last] = std::ranges::unique(edges);
    edges.erase(first, last);
    return edges;
}

}  // namespace asyncdump
