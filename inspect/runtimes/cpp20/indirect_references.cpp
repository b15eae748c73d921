#include "runtimes/cpp20/indirect_references.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "runtimes/cpp20/awaited_objects.h"
#include "runtimes/cpp20/container_words.h"
#include "runtimes/cpp20/heap_paths.h"
#include "runtimes/cpp20/libraries/libraries.h"

namespace asyncdump::cpp20 {
namespace {

/// Up a chain, when an ancestor is looked for: chains may be long, and may be circles.
constexpr std::size_t most_ancestors = 1000;

/// References, which are sorted by where they come from, as a row for each frame.
class ReferencesByFrame {
  public:
    ReferencesByFrame(std::span<const Reference> sorted, std::size_t frames)
        : references_(sorted), rows_(frames + 1) {
        for (const Reference& reference : sorted) ++rows_[reference.from + 1];
        for (std::size_t i = 1; i < rows_.size(); ++i) rows_[i] += rows_[i - 1];
    }
    std::span<const Reference> of(std::uint32_t frame) const {
        return references_.subspan(rows_[frame], rows_[frame + 1] - rows_[frame]);
    }

  private:
    std::span<const Reference> references_;
    std::vector<std::size_t> rows_;
};

/// Which coroutine functions are roots that stand for the coroutine at the far end of their chain, as their
/// library has it (asio's entry point).
class StandIns {
  public:
    StandIns(const FrameSet& set, const CoroutineCatalog& catalog) : set_(set), catalog_(catalog) {}

    bool contains(std::uint32_t frame) {
        const auto [entry, is_new] = known_.try_emplace(set_.frames[frame].function);
        if (is_new) {
            const std::string_view symbol = catalog_.functions()[set_.frames[frame].function].ramp_symbol;
            const Library* library = library_of(symbol);
            entry->second = library != nullptr && library->stands_for_its_leaf(symbol);
        }
        return entry->second;
    }

  private:
    const FrameSet& set_;
    const CoroutineCatalog& catalog_;
    std::unordered_map<std::uint32_t, bool> known_;  ///< by function
};

/// Who awaits whom, downwards. Above, a task that many await has only one of them as its parent.
class AwaitedFrames {
  public:
    void add(std::uint32_t awaiting, std::uint32_t awaited) { pairs_.push_back({awaiting, awaited}); }

    /// Whether `frame` is awaited by `ancestor`, or by one that it awaits, ...: among the first that it leads
    /// to. Questions about one ancestor one after the other are cheap.
    bool contain(std::uint32_t ancestor, std::uint32_t frame) {
        if (ancestor != ancestor_) {
            if (ancestor_ == no_index) std::ranges::sort(pairs_);
            ancestor_ = ancestor;
            collect();
        }
        return descendants_.contains(frame);
    }

  private:
    void collect() {
        constexpr std::size_t most_descendants = 256;
        descendants_.clear();
        std::vector<std::uint32_t> reached{ancestor_};
        for (std::size_t i = 0; i < reached.size(); ++i) {
            for (const auto& [parent, child] :
                 std::ranges::equal_range(pairs_, reached[i], {}, &Pair::first)) {
                if (descendants_.size() >= most_descendants) return;
                if (descendants_.insert(child).second) reached.push_back(child);
            }
        }
    }

    using Pair = std::pair<std::uint32_t, std::uint32_t>;  ///< who awaits, who is awaited
    std::vector<Pair> pairs_;                              ///< sorted with the first question
    std::uint32_t ancestor_ = no_index;
    std::unordered_set<std::uint32_t> descendants_;
};

/// The promise of a root that stands for its leaf names the top of its stack: a descendant, and never who
/// awaits it.
void demote_pointers_to_leaves(StandIns& stand_ins, std::vector<Reference>& references) {
    for (Reference& reference : references) {
        if (reference.origin == Reference::Origin::promise && stand_ins.contains(reference.from))
            reference.origin = Reference::Origin::elsewhere;
    }
}

/// A parent may keep its children in a vector: where a promise names a parent that has no pointer back, look
/// one object further.
void add_heap_confirmations(const FrameSet& set, const MemoryMap& map, std::vector<Reference>& references) {
    const ReferencesByFrame by_frame(references, set.frames.size());
    const auto names_directly = [&](std::uint32_t parent, std::uint32_t child) {
        // Where the live awaiter is known, only a word of it says that the child is awaited now.
        const bool awaiter_only = set.views[parent].awaiter->is_certain;
        return std::ranges::any_of(by_frame.of(parent), [&](const Reference& reference) {
            return reference.to == child &&
                   (!awaiter_only || reference.origin == Reference::Origin::live_awaiter);
        });
    };
    const auto is_first_of_its_pair = [&](const Reference& reference) {
        return &reference == &*std::ranges::find_if(by_frame.of(reference.from), [&](const Reference& other) {
            return other.to == reference.to && other.origin == Reference::Origin::promise &&
                   !other.leads_to_no_awaiter;
        });
    };
    ContainerWords container_words(set, map);
    std::vector<Reference> confirmations;
    for (const Reference& reference : references) {
        const std::uint32_t child = reference.from;
        const std::uint32_t parent = reference.to;
        if (reference.origin != Reference::Origin::promise || reference.leads_to_no_awaiter) continue;
        if (set.frames[child].done || names_directly(parent, child) || !is_first_of_its_pair(reference))
            continue;
        const auto word = container_words.find(parent, child);
        if (!word) continue;
        const FrameView& view = set.views[parent];
        Reference confirmation;
        confirmation.from = parent;
        confirmation.to = child;
        confirmation.target = Reference::Target::frame;
        confirmation.hops = 1;
        confirmation.through_container = true;
        confirmation.offset = word->offset;
        if (word->of_awaiter) confirmation.origin = Reference::Origin::live_awaiter;
        confirmation.promise_known = view.knows_promise();
        confirmations.push_back(confirmation);
    }
    std::ranges::stable_sort(confirmations, {}, &Reference::from);
    const auto middle = references.insert(references.end(), confirmations.begin(), confirmations.end());
    std::ranges::inplace_merge(references, middle, {}, &Reference::from);
}

/// References from live awaiters to coroutines whose promise does not name the one that awaits them.
std::vector<Reference> awaited_without_continuation(const FrameSet& set,
                                                    const std::vector<Reference>& direct) {
    const ReferencesByFrame by_frame(direct, set.frames.size());
    std::vector<Reference> awaited;
    for (const Reference& down : direct) {
        const bool leads_to_coroutine =
            down.target == Reference::Target::frame || down.target == Reference::Target::promise;
        if (down.origin != Reference::Origin::live_awaiter || !leads_to_coroutine ||
            !set.views[down.to].knows_promise())
            continue;
        const bool names_it = std::ranges::any_of(by_frame.of(down.to), [&](const Reference& up) {
            return up.to == down.from && up.origin == Reference::Origin::promise;
        });
        if (!names_it) awaited.push_back(down);
    }
    return awaited;
}

/// Paths over the heap for frames that no direct pointer gives a parent.
std::vector<Reference> paths_over_heap(const FrameSet& set, const MemoryMap& map, StandIns& stand_ins,
                                       const std::vector<Reference>& direct) {
    HeapPathRules rules;
    rules.has_parent.resize(set.frames.size());
    rules.has_child.resize(set.frames.size());
    // The coroutine at the far end of a chain whose root is known to stand for it: child of child of ...
    std::vector<std::uint32_t> child(set.frames.size(), no_index), parent(set.frames.size(), no_index);
    AwaitedFrames awaited;
    const ReferencesByFrame by_frame(direct, set.frames.size());
    const auto holds = [&](std::uint32_t from, std::uint32_t to) {
        return std::ranges::any_of(by_frame.of(from), [&](const Reference& reference) {
            return reference.to == to && reference.origin != Reference::Origin::promise;
        });
    };
    for (const Reference& reference : direct) {
        // A promise may also lead elsewhere: asio's entry point to the top of its stack.
        const bool up = reference.origin == Reference::Origin::promise && is_strong(reference) &&
                        (reference.is_handle || holds(reference.to, reference.from));
        if (!up) continue;
        rules.has_parent[reference.from] = true;
        parent[reference.from] = reference.to;
        if (set.frames[reference.from].done) continue;
        rules.has_child[reference.to] = true;
        child[reference.to] = reference.from;
        awaited.add(reference.to, reference.from);
    }
    // An awaiter may own a coroutine that it lets another one await.
    const auto only_owns = [&](const Reference& down) {
        const std::uint32_t awaiting = parent[down.to];
        if (awaiting == no_index || awaiting == down.from) return false;
        const SuspendPoint *one = set.views[awaiting].point, *other = set.views[down.from].point;
        return one != nullptr && other != nullptr && one->awaiter_type != other->awaiter_type;
    };
    for (const Reference& reference : direct) {
        const bool down =
            reference.origin == Reference::Origin::live_awaiter &&
            (reference.target == Reference::Target::frame || reference.target == Reference::Target::promise);
        if (!down || only_owns(reference)) continue;
        rules.has_parent[reference.to] = true;
        rules.has_child[reference.from] = true;
        if (parent[reference.to] == no_index) parent[reference.to] = reference.from;
        awaited.add(reference.from, reference.to);
    }
    rules.trusted_end = [&](std::uint32_t frame) { return stand_ins.contains(frame); };
    rules.descends_from = [&](std::uint32_t frame, std::uint32_t ancestor) {
        if (awaited.contain(ancestor, frame)) return true;
        for (std::size_t steps = 0; steps < most_ancestors && frame != no_index; ++steps) {
            frame = parent[frame];
            if (frame == ancestor) return true;
        }
        return false;
    };
    std::vector<std::uint32_t> starts;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (!rules.has_parent[i] && !set.frames[i].done) starts.push_back(i);
    }
    std::vector<Reference> found = find_heap_paths(set, map, starts, rules);
    const auto in_frames = completions_in_frames(set, starts, direct, rules.has_child);
    found.insert(found.end(), in_frames.begin(), in_frames.end());
    // The handler of a coroutine that such a root was spawned for may lie in the root's own frame.
    for (const Reference& reference : direct) {
        const bool is_handler = reference.origin == Reference::Origin::elsewhere && is_strong(reference);
        if (is_handler && !rules.has_parent[reference.from] && stand_ins.contains(reference.from) &&
            stand_ins.contains(reference.to) && !set.frames[reference.from].done) {
            found.push_back(reference);
            found.back().hops = 1;
        }
    }
    for (Reference& reference : found) {
        if (!stand_ins.contains(reference.to)) continue;
        std::uint32_t leaf = reference.to;
        for (std::size_t steps = 0; steps < set.frames.size() && child[leaf] != no_index; ++steps)
            leaf = child[leaf];
        if (leaf == reference.from) continue;
        reference.to = leaf;
        reference.target = Reference::Target::frame;
    }
    return found;
}

}  // namespace

void add_indirect_references(const FrameSet& set, const MemoryMap& map, const CoroutineCatalog& catalog,
                             std::vector<Reference>& references) {
    StandIns stand_ins(set, catalog);
    demote_pointers_to_leaves(stand_ins, references);
    add_heap_confirmations(set, map, references);
    const auto continuations =
        continuations_over_heap(set, map, awaited_without_continuation(set, references));
    const auto paths = paths_over_heap(set, map, stand_ins, references);
    references.insert(references.end(), continuations.begin(), continuations.end());
    references.insert(references.end(), paths.begin(), paths.end());
}

}  // namespace asyncdump::cpp20
