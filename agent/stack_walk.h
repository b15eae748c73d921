// Creation stacks by frame pointers, without ever touching memory that may be missing.
//
// The register that serves as frame pointer holds anything in code that was built without frame pointers. So
// a frame pointer is followed only while it stays, rising, in the part of the stack that is known to be
// mapped: what lies between the stack pointer and the end of the thread's stack. On a stack that is not the
// thread's own (a fiber, a signal stack) only the current page is known.
#pragma once

#include <cstddef>
#include <cstdint>

#include "system_calls.h"

namespace asyncdump::agent {

/// The current thread's stack, as far as it was found mapped: [low, high). Zero before the first walk.
struct StackBounds {
    std::uintptr_t low;
    std::uintptr_t high;
};

inline constexpr std::uintptr_t kPage = 4096;

inline std::uintptr_t thread_pointer() {
    std::uintptr_t value;
    __asm__("movq %%fs:0, %0" : "=r"(value));
    return value;
}

/// Extends the bounds to `stack_pointer`, page by page. The thread control block ends a thread's stack;
/// `end_of_first_stack` ends that of the first thread. Costs 0.1 us a page, once.
[[gnu::noinline]] inline void extend_bounds(StackBounds& bounds, std::uintptr_t stack_pointer,
                                            std::uintptr_t end_of_first_stack) {
    constexpr std::uintptr_t longest_probe = 1 << 20;
    std::uintptr_t high = bounds.high;
    std::uintptr_t low = bounds.low;
    if (high == 0) {
        const std::uintptr_t control_block = thread_pointer();
        if (control_block > stack_pointer && control_block - stack_pointer <= longest_probe)
            high = control_block;
        else if (end_of_first_stack > stack_pointer && end_of_first_stack - stack_pointer <= longest_probe)
            high = end_of_first_stack;
        else
            return;
        low = high & ~(kPage - 1);
    }
    if (stack_pointer >= low || low - stack_pointer > longest_probe) return;
    const std::uintptr_t first_page = stack_pointer & ~(kPage - 1);
    // What was found stays, also when it is not enough: a fiber below this stack must not have it probed each
    // time.
    while (low > first_page && is_readable(low - kPage)) low -= kPage;
    bounds = {low, high};
}

/// Calls `use` with the return addresses above the hook's own, innermost first, so that with that one there
/// are `limit` at most. `frame` is what the hook's caller had as frame pointer.
template <class Use>
[[gnu::always_inline]] inline void walk_frame_pointers(std::uintptr_t frame, StackBounds& bounds,
                                                       std::uintptr_t end_of_first_stack, std::size_t limit,
                                                       Use use) {
    auto current = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (current - bounds.low >= bounds.high - bounds.low) [[unlikely]]
        extend_bounds(bounds, current, end_of_first_stack);
    const bool own_stack = current - bounds.low < bounds.high - bounds.low;
    const std::uintptr_t end =
        (own_stack ? bounds.high : (current & ~(kPage - 1)) + kPage) - 2 * sizeof(std::uintptr_t);

    for (std::size_t depth = 1; depth < limit; ++depth) {
        if (frame <= current || frame > end || frame % sizeof(std::uintptr_t) != 0) return;
        const auto* words = reinterpret_cast<const std::uintptr_t*>(frame);
        const std::uintptr_t return_address = words[1];
        if (return_address < kPage || return_address >> 47 != 0) return;
        use(return_address);
        current = frame;
        frame = words[0];
    }
}

}  // namespace asyncdump::agent
