#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {

/// Shows each call or jump of a resume or destroy function that passes on the function's argument, the frame,
/// and the constant that is the second argument, if there is one. Goes from one instruction to the next and
/// knows jumps forward only: it can be wrong where a register that the argument was saved to is used for
/// something else later, and takes what was loaded from the stack for the frame.
void for_each_call_with_frame(
    const Module& module, AddressRange function,
    const std::function<void(const Instruction&, std::optional<std::uint32_t>)>& visit);

/// The frame's size as clang's destroy function hands it to the sized operator delete or tells it to
/// Boost.Asio's cache, or as GCC's ramp asks operator new for it: a constant in the argument's register just
/// before the call. For frames that debug information does not describe (clang 17 to 19 above -O0). It can be
/// wrong where the ramp first of all calls something with a constant; callers check the size against the
/// block in which the frame stands. Empty when there is none.
std::optional<std::uint32_t> frame_size_from_code(const CoroutineCode& code);

}  // namespace asyncdump::cpp20
