#pragma once

#include <cstdint>
#include <optional>

#include "runtimes/cpp20/coroutine_code.h"

namespace asyncdump::cpp20 {

/// The frame's size as clang's destroy function hands it to the sized operator delete, or as GCC's ramp asks
/// operator new for it: a constant in the argument's register just before the call. For frames that debug
/// information does not describe (clang 17 to 19 above -O0). It can be wrong where the frame has an allocator
/// of its own, and the coroutine's last destructor deletes something of constant size, or the ramp first of
/// all calls something with a constant; callers check the size against the block in which the frame stands.
/// Empty when there is none.
std::optional<std::uint32_t> frame_size_from_code(const CoroutineCode& code);

}  // namespace asyncdump::cpp20
