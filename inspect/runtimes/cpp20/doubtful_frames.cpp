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
/// a coroutine gets may even hold those of children of its former owner. Dead is what lies in a coroutine
/// that has not begun or has ended; what is done and known to nobody; and what nobody knows beside another
/// one in the same frame that somebody knows. It can be wrong with a coroutine that was lost beside a live
/// one.
std::vector<bool> dead_elided_frames(const Observation& observation, const FrameSet& set) {
    std::vector<bool> dead(set.frames.size());
    if (std::ranges::none_of(set.frames, &Frame::elided)) return dead;
    std::vector<std::uint32_t> around(set.frames.size(), no_index), open;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        while (!open.empty() && set.frames[open.back()].range().end <= set.frames[i].address) open.pop_back();
        if (!open.empty()) around[i] = open.back();
        open.push_back(i);
    }
    std::vector<bool> known(set.frames.size()), known_to_parent(set.frames.size()),
        has_known(set.frames.size());
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        const ObservedCoroutine& coroutine = observation.coroutines[i];
        known[i] = coroutine.held != Hold::none || coroutine.state == CoroutineState::running;
    }
    for (const Reference& reference : observation.references) {
        if (around[reference.to] != reference.from)
            known[reference.to] = true;
        else if (reference.offset != 0)
            known_to_parent[reference.to] = true;
    }
    const auto is_elided_in_frame = [&](std::uint32_t i) {
        return set.frames[i].elided && around[i] != no_index;
    };
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (is_elided_in_frame(i) && known[i]) has_known[around[i]] = true;
    }
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        if (!is_elided_in_frame(i)) continue;
        const CoroutineState state = observation.coroutines[i].state;
        const CoroutineState parent = observation.coroutines[around[i]].state;
        if (parent == CoroutineState::created || parent == CoroutineState::done || dead[around[i]])
            dead[i] = state != CoroutineState::running;
        else if (state == CoroutineState::done)
            dead[i] = !known[i] && !known_to_parent[i];
        else if (state == CoroutineState::suspended)
            dead[i] = !known[i] && has_known[around[i]];
    }
    return dead;
}

}  // namespace

void remove_phantoms(Observation& observation, const FrameSet& set) {
    const std::vector<bool> dead = dead_elided_frames(observation, set);
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
