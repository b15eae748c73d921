#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "process/memory.h"
#include "process/memory_map.h"
#include "process/untouched_pages.h"
#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/running.h"

namespace asyncdump::cpp20 {

/// Where and what to look at besides the frames.
struct Surroundings {
    const MemoryMap& map;
    std::span<const ThreadStack> stacks;
    std::span<const AddressRange> stack_mappings;
    /// Where to look for words that keep a frame alive, and in which memory; nullptr: not wanted, frames
    /// whose content cannot tell are believed.
    const Memory* anchor_memory = nullptr;
    std::span<const AddressRange> anchor_ranges;
    std::span<const RemoteAddress> thread_pointers;
    ClockReadings now;
    std::function<std::string(int)> describe_descriptor;  ///< of an open file; may be empty
    /// Words outside memory that may lead to a frame: those that the kernel keeps (registers are in
    /// `stacks`).
    std::span<const std::uint64_t> kernel_words;
    /// Whether no thread ran since the frames were copied; empty: they were copied with everything else.
    std::function<bool()> has_rested;
    /// What may be missing in the memory because it is zeros; nullptr: nothing.
    const UntouchedPages* untouched = nullptr;
};

}  // namespace asyncdump::cpp20
