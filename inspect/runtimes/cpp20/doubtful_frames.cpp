#include "runtimes/cpp20/doubtful_frames.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "runtimes/cpp20/allocator_memory.h"
#include "runtimes/cpp20/liveness.h"

namespace asyncdump::cpp20 {

void mark_doubtful(Observation& observation, const FrameSet& set, const Surroundings& surroundings,
                   const CoroutineCatalog& catalog, const ModuleSet& modules, unsigned workers) {
    if (surroundings.anchor_memory == nullptr) return;
    const auto allocator = allocator_variables(modules, surroundings.map, *surroundings.anchor_memory,
                                               surroundings.thread_pointers);
    // An elided frame lives as long as the one that it lies in. On the heap it lies in one.
    std::vector<bool> lies_in_uncertain(set.frames.size());
    const auto is_certain = [&](std::size_t i) {
        // In a heap of glibc that changes too fast to be walked, both words of a frame standing is believed.
        const bool in_restless_heap =
            allocator.empty() && set.frames[i].in_glibc_heap && !set.frames[i].block_is_known;
        return set.frames[i].owns_block || (set.frames[i].elided && !lies_in_uncertain[i]) ||
               in_restless_heap || observation.coroutines[i].state == CoroutineState::running;
    };
    std::size_t uncertain = 0, open = set.frames.size();
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        const bool is_inside =
            open < i && set.frames[open].range().contains(set.frames[i].address) && set.frames[i].elided;
        lies_in_uncertain[i] = is_inside ? !is_certain(open) : set.frames[i].block_is_known;
        if (!is_inside) open = i;
        uncertain += is_certain(i) ? 0 : 1;
    }
    if (uncertain == 0) return;

    std::vector<bool> content_tells(set.frames.size());
    for (std::size_t i = 0; i < set.frames.size(); ++i)
        content_tells[i] = set.views[i].layout->index.has_value();
    std::vector<AddressRange> heaps;
    for (const Mapping& mapping : surroundings.map.mappings()) {
        if (mapping.writable && !mapping.is_file() && !std::ranges::binary_search(set.stacks, mapping.range))
            heaps.push_back(mapping.range);
    }
    const auto c_library = c_library_variables(modules, surroundings.map);
    const AnchorScope scope{surroundings.anchor_ranges,  set.stacks, heaps,           allocator,
                            may_replace_malloc(modules), c_library,  surroundings.map};
    std::vector<Anchor> anchors = find_anchors(*surroundings.anchor_memory, scope, set.frames, content_tells,
                                               catalog, set.index, workers);
    std::vector<std::uint32_t> queue;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (is_certain(i)) anchors[i] = Anchor::inside;
        if (anchors[i] != Anchor::none) queue.push_back(i);
    }
    // What a live frame refers to is in use: its children, the parent that it will resume, the next in a list
    // of waiters. The last is a pointer to the inside, and counts only where the frame itself is not in
    // doubt: lists of the dead stay linked.
    std::vector<std::vector<std::pair<std::uint32_t, bool>>> targets(set.frames.size());
    for (const Reference& reference : observation.references) {
        targets[reference.from].emplace_back(reference.to, is_strong(reference));
    }
    while (!queue.empty()) {
        const std::uint32_t from = queue.back();
        queue.pop_back();
        for (const auto& [to, is_handle] : targets[from]) {
            if (anchors[to] >= anchors[from] || (!is_handle && anchors[from] != Anchor::inside)) continue;
            anchors[to] = anchors[from];
            queue.push_back(to);
        }
    }
    for (std::size_t i = 0; i < set.frames.size(); ++i) {
        if (anchors[i] != Anchor::none) continue;
        ObservedCoroutine& coroutine = observation.coroutines[i];
        coroutine.doubtful = true;
        coroutine.state = CoroutineState::unknown;
        if (coroutine.details == no_index) {
            coroutine.details = static_cast<std::uint32_t>(observation.details.size());
            observation.details.emplace_back();
        }
        observation.details[coroutine.details].problems.push_back(
            {"unreferenced",
             "nothing in the process refers to this frame: it is a leftover in freed memory, a copy, or a "
             "leak",
             "", false});
    }
}

namespace {

/// The place of an elided frame is used by one after the other, and keeps the last one's bytes; a block that
/// a coroutine gets may even hold those of children of its former owner.
class ElidedFrames {
  public:
    ElidedFrames(const Observation& observation, const FrameSet& set, const CallsOf& calls_of)
        : observation_(observation),
          set_(set),
          calls_of_(calls_of),
          around_(set.frames.size(), no_index),
          dead_(set.frames.size()) {
        std::vector<std::uint32_t> open;
        for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
            while (!open.empty() && set.frames[open.back()].range().end <= set.frames[i].address)
                open.pop_back();
            if (!open.empty()) around_[i] = open.back();
            open.push_back(i);
        }
    }

    /// Dead is what lies in a coroutine that has not begun or has ended; what is done and known to nobody;
    /// and what nobody knows beside another one in the same frame that somebody knows. It can be wrong with a
    /// coroutine that was lost beside a live one.
    std::vector<bool> find_dead() {
        if (std::ranges::none_of(set_.frames, &Frame::elided)) return std::move(dead_);
        // What only a dead one knows is known to nobody.
        constexpr unsigned most_rounds = 8;
        for (unsigned round = 0; round < most_rounds; ++round) {
            find_known();
            bool found_more = false;
            for (std::uint32_t i = 0; i < set_.frames.size(); ++i) {
                if (!is_elided_in_frame(i) || dead_[i] || !is_dead(i)) continue;
                dead_[i] = found_more = true;
            }
            if (!found_more) break;
        }
        return std::move(dead_);
    }

  private:
    bool is_elided_in_frame(std::uint32_t i) const { return set_.frames[i].elided && around_[i] != no_index; }

    void find_known() {
        const std::size_t count = set_.frames.size();
        known_.assign(count, false);
        known_to_parent_.assign(count, false);
        knows_parent_.assign(count, false);
        awaited_by_dead_.assign(count, false);
        has_known_.assign(count, false);
        for (std::uint32_t i = 0; i < count; ++i) {
            const ObservedCoroutine& coroutine = observation_.coroutines[i];
            known_[i] = coroutine.held != Hold::none || coroutine.state == CoroutineState::running;
        }
        for (const Reference& reference : observation_.references) {
            if (dead_[reference.from]) continue;
            if (reference.origin == Reference::Origin::promise) {
                if (around_[reference.from] == reference.to) knows_parent_[reference.from] = true;
                if (dead_[reference.to]) awaited_by_dead_[reference.from] = true;
            }
            // One that has run to its end has no locals any more, and resumes nobody.
            if (is_elided_in_frame(reference.from) &&
                observation_.coroutines[reference.from].state == CoroutineState::done)
                continue;
            if (around_[reference.to] != reference.from)
                known_[reference.to] = true;
            else if (reference.offset != 0)
                known_to_parent_[reference.to] = true;
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            if (is_elided_in_frame(i) && !dead_[i] && known_[i]) has_known_[around_[i]] = true;
        }
    }

    bool is_dead(std::uint32_t i) const {
        const CoroutineState state = observation_.coroutines[i].state;
        const CoroutineState parent = observation_.coroutines[around_[i]].state;
        if (parent == CoroutineState::created || parent == CoroutineState::done || dead_[around_[i]])
            return state != CoroutineState::running;
        if (known_[i]) return false;
        if (state == CoroutineState::done) return awaited_by_dead_[i] || has_let_go(i);
        return state == CoroutineState::suspended && has_known_[around_[i]];
    }

    /// Whether the one around it has let go of one that is done. A word of its own that leads there may be
    /// what is left of a task; and none is needed, since it knows the place.
    bool has_let_go(std::uint32_t i) const {
        switch (calls_of_(i, around_[i])) {
            case SourceText::Calls::elsewhere:
                return true;
            case SourceText::Calls::before:
                return !knows_parent_[i] && !known_to_parent_[i];
            case SourceText::Calls::unknown:
                break;
        }
        return !known_to_parent_[i];
    }

    const Observation& observation_;
    const FrameSet& set_;
    const CallsOf& calls_of_;
    std::vector<std::uint32_t> around_;  ///< the frame in which each lies
    std::vector<bool> dead_;
    std::vector<bool> known_, known_to_parent_, knows_parent_, awaited_by_dead_;
    std::vector<bool> has_known_;  ///< one lies in it that somebody knows
};

}  // namespace

void remove_phantoms(Observation& observation, const FrameSet& set, const CallsOf& calls_of) {
    const std::vector<bool> dead = ElidedFrames(observation, set, calls_of).find_dead();
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (set.frames[i].elided && observation.coroutines[i].held == Hold::none)
            observation.coroutines[i].held = Hold::unknown;
    }
    std::vector<std::uint32_t> new_index(set.frames.size(), no_index);
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        const bool is_spilled = observation.coroutines[i].doubtful && !set.frames[i].elided &&
                                contains(set.stacks, set.frames[i].address);
        if (is_spilled || dead[i]) continue;
        observation.coroutines[kept] = observation.coroutines[i];
        new_index[i] = kept++;
    }
    if (kept == set.frames.size()) return;
    observation.coroutines.resize(kept);
    std::erase_if(observation.references, [&](Reference& reference) {
        reference.from = new_index[reference.from];
        reference.to = new_index[reference.to];
        return reference.from == no_index || reference.to == no_index;
    });
    for (HoldByObjects& hold : observation.holds_by_objects) {
        hold.coroutine = new_index[hold.coroutine];
        for (std::uint32_t& other : hold.known_by) other = new_index[other];
        std::erase(hold.known_by, no_index);
    }
    std::erase_if(observation.holds_by_objects,
                  [](const HoldByObjects& hold) { return hold.coroutine == no_index; });
    for (RunningFrame& running : observation.running) running.coroutine = new_index[running.coroutine];
    std::erase_if(observation.running,
                  [](const RunningFrame& running) { return running.coroutine == no_index; });
    for (ObservedLock& lock : observation.locks) {
        for (ObservedLock::Holder& holder : lock.holders) holder.coroutine = new_index[holder.coroutine];
        std::erase_if(lock.holders, [](const auto& holder) { return holder.coroutine == no_index; });
        for (std::uint32_t& waiter : lock.waiters) waiter = new_index[waiter];
        std::erase(lock.waiters, no_index);
    }
}

}  // namespace asyncdump::cpp20
