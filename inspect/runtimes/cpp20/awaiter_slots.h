// Which of several awaiters of one class in a frame is the live one, by the memory of the frame that the code
// touches where it suspends and where it goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>

#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/frame_bases.h"
#include "runtimes/cpp20/function_code.h"
#include "runtimes/cpp20/store_sites.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// Number of the slot that the code touches last before it stores the index: the awaiter is made and asked
/// whether it is ready, and then the index is stored. Empty where several ways lead to the store that do not
/// agree, or where await_suspend, after the store, touches another one. Can be wrong where the compiler moves
/// the making of an awaiter of which await_suspend uses nothing behind the store.
std::optional<std::size_t> slot_touched_before_suspension(const FunctionCode& code, const FrameBases& bases,
                                                          std::span<const StoreSite> stores,
                                                          std::uint64_t index,
                                                          std::span<const AwaiterSlot> slots);

/// Offsets in the frame at which the code stores the frame's own address where it stores an index: into the
/// awaiter, which keeps the handle of the coroutine that it was given. Looked for from the store of the index
/// up to the places where ways part or meet.
std::set<std::uint32_t> own_address_stored_beside(const FunctionCode& code, const FrameBases& bases,
                                                  std::span<const StoreSite> stores, std::uint64_t index);

/// The same anywhere in the function: where it has one suspend point, and no index.
std::set<std::uint32_t> own_address_stored_in(const FunctionCode& code, const FrameBases& bases);

/// Whether the function makes an address in the slot: an object that others get to know lies there as its
/// class has it. Of one that nobody knows an optimiser may keep the members in different places.
bool makes_address_in(const FunctionCode& code, const FrameBases& bases, const AwaiterSlot& slot);

/// Number of the slot that is read first where the function goes on: by await_resume. Empty where it is
/// written first, or none is touched in the places that the trace knows. Where several awaits stand in one
/// statement, GCC may call the await_resume of an earlier one first.
std::optional<std::size_t> slot_read_on_resumption(const FunctionCode& code, const DispatchTrace& trace,
                                                   std::span<const AwaiterSlot> slots);

}  // namespace asyncdump::cpp20
