// What agent_churn knows to be true, at a fixed place for a reader outside.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

inline constexpr std::size_t kSlots = 4096;
/// In a slot: the frame is being destroyed, and may be gone from the registry.
inline constexpr std::uint64_t kEnding = 1;

struct Truth {
    std::uint64_t destroy_functions[3];
    std::atomic<std::uint64_t> operations;
    std::atomic<std::uint64_t> sum;
    /// A frame's address from after its creation until before its destruction. Each thread has at most one
    /// frame that is in no slot.
    std::atomic<std::uint64_t> slots[kSlots];
};
