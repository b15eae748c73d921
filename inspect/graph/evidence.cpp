#include "graph/evidence.h"

#include <algorithm>

namespace asyncdump {
namespace {

using Origin = Reference::Origin;
using Target = Reference::Target;

/// Without debug information: each refers to the other, and the child's word is the one nearer to the frame's
/// beginning.
bool is_confirmed_by_place(const Evidence& evidence) {
    if (!evidence.from_unknown_promise || !evidence.held) return false;
    return evidence.contains || evidence.continuation_offset < evidence.handle_offset;
}

/// Without debug information: each refers to the other, and the code of the parent reads its word first where
/// it goes on.
bool is_confirmed_by_code(const Evidence& evidence) {
    return evidence.from_unknown_promise && evidence.held && evidence.read_first;
}

}  // namespace

bool is_handle_like(const Reference& reference) {
    return reference.target == Target::frame || reference.target == Target::promise;
}

bool is_confirmed(const Evidence& evidence) {
    return (evidence.continuation && evidence.held) || is_confirmed_by_place(evidence) ||
           is_confirmed_by_code(evidence);
}

bool rests_on_code_or_places(const Evidence& evidence) {
    return !evidence.continuation && !evidence.contains && evidence.from_unknown_promise;
}

bool is_outweighed(const Evidence& evidence, const Evidence& opposite) {
    if (!rests_on_code_or_places(evidence)) return false;
    if (!rests_on_code_or_places(opposite)) return is_confirmed(opposite);
    if (evidence.read_first != opposite.read_first) return opposite.read_first;
    return is_confirmed_by_place(opposite) || !is_confirmed_by_place(evidence);
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

EvidenceTable::EvidenceTable(const Observation& observation) : rows_(observation.coroutines.size() + 1) {
    all_.reserve(observation.references.size() + observation.references.size() / 8);
    for (const Reference& reference : observation.references) {
        Evidence as_child;  // `from` is the child, the word its continuation
        as_child.parent = reference.to;
        as_child.child = reference.from;
        if (reference.hops > 0 && !reference.through_container) {
            as_child.path = true;
            as_child.path_from_promise = reference.origin == Origin::promise;
            all_.push_back(as_child);
            continue;
        }
        if (reference.origin == Origin::promise) {
            if (!reference.leads_to_no_awaiter) {
                as_child.continuation = true;
                as_child.typed_continuation = reference.is_handle;
                as_child.precise_continuation = reference.target != Target::interior;
                as_child.awaited = reference.target == Target::live_awaiter;
                all_.push_back(as_child);
            }
            continue;
        }
        if (!reference.promise_known && is_handle_like(reference)) {
            as_child.from_unknown_promise = true;
            as_child.continuation_offset = reference.offset;
            all_.push_back(as_child);
        }
        if (is_handle_like(reference)) {
            Evidence as_parent;  // `from` is the parent, the word its handle to the child
            as_parent.parent = reference.from;
            as_parent.child = reference.to;
            if (reference.origin == Origin::live_awaiter) as_parent.awaited = true;
            if (reference.origin == Origin::read_first) as_parent.read_first = true;
            as_parent.held = true;
            as_parent.contains = reference.offset == 0 && !reference.through_container;
            as_parent.handle_offset = reference.offset;
            all_.push_back(as_parent);
        }
    }
    sort_by_pair();
    join_pairs();
}

const Evidence* EvidenceTable::find(std::uint32_t parent, std::uint32_t child) const {
    const std::span<const Evidence> row = of_child(child);
    const auto found = std::ranges::lower_bound(row, parent, {}, &Evidence::parent);
    return found != row.end() && found->parent == parent ? &*found : nullptr;
}

/// Of a child there are few: putting each child's together first is linear.
void EvidenceTable::sort_by_pair() {
    find_rows();
    std::vector<Evidence> sorted(all_.size());
    std::vector<std::uint32_t> next = rows_;
    for (const Evidence& evidence : all_) sorted[next[evidence.child]++] = evidence;
    for (std::size_t i = 0; i + 1 < rows_.size(); ++i) {
        const auto begin = sorted.begin() + rows_[i];
        std::ranges::sort(begin, sorted.begin() + rows_[i + 1], {}, &Evidence::parent);
    }
    all_ = std::move(sorted);
}

/// What several references say of a pair becomes one entry.
void EvidenceTable::join_pairs() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < all_.size(); ++i) {
        if (kept > 0 && all_[kept - 1].child == all_[i].child && all_[kept - 1].parent == all_[i].parent) {
            Evidence& into = all_[kept - 1];
            const Evidence& more = all_[i];
            into.continuation |= more.continuation;
            into.typed_continuation |= more.typed_continuation;
            into.precise_continuation |= more.precise_continuation;
            into.awaited |= more.awaited;
            into.read_first |= more.read_first;
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
            all_[kept++] = all_[i];
        }
    }
    all_.resize(kept);
    find_rows();
}

void EvidenceTable::find_rows() {
    std::ranges::fill(rows_, 0);
    for (const Evidence& evidence : all_) ++rows_[evidence.child + 1];
    for (std::size_t i = 1; i < rows_.size(); ++i) rows_[i] += rows_[i - 1];
}

}  // namespace asyncdump
