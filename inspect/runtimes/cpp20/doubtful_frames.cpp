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
    const auto is_certain = [&](std::size_t i) {
        // In a heap of glibc that changes too fast to be walked, both words of a frame standing is believed.
        const bool in_restless_heap =
            allocator.empty() && set.frames[i].in_glibc_heap && !set.frames[i].block_is_known;
        return set.frames[i].owns_block || set.frames[i].elided || in_restless_heap ||
               observation.coroutines[i].state == CoroutineState::running;
    };
    std::size_t uncertain = 0;
    for (std::size_t i = 0; i < set.frames.size(); ++i) uncertain += is_certain(i) ? 0 : 1;
    if (uncertain == 0) return;

    std::vector<bool> content_tells(set.frames.size());
    for (std::size_t i = 0; i < set.frames.size(); ++i)
        content_tells[i] = set.views[i].layout->index.has_value();
    std::vector<AddressRange> heaps;
    for (const Mapping& mapping : surroundings.map.mappings()) {
        if (mapping.writable && !mapping.is_file() && !std::ranges::binary_search(set.stacks, mapping.range))
            heaps.push_back(mapping.range);
    }
    const AnchorScope scope{surroundings.anchor_ranges, set.stacks, heaps, allocator};
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

void remove_spilled_words(Observation& observation, const FrameSet& set) {
    std::vector<std::uint32_t> new_index(set.frames.size(), no_index);
    std::uint32_t kept = 0;
    for (std::uint32_t i = 0; i < set.frames.size(); ++i) {
        const bool is_spilled = observation.coroutines[i].doubtful && !set.frames[i].elided &&
                                contains(set.stacks, set.frames[i].address);
        if (is_spilled) continue;
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
    for (RunningFrame& running : observation.running) running.coroutine = new_index[running.coroutine];
    for (ObservedLock& lock : observation.locks) {
        for (ObservedLock::Holder& holder : lock.holders) holder.coroutine = new_index[holder.coroutine];
        std::erase_if(lock.holders, [](const auto& holder) { return holder.coroutine == no_index; });
        for (std::uint32_t& waiter : lock.waiters) waiter = new_index[waiter];
        std::erase(lock.waiters, no_index);
    }
}

}  // namespace asyncdump::cpp20
