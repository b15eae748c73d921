#pragma once

#include <cstdint>
#include <optional>

#include "runtimes/cpp20/coroutine_code.h"

namespace asyncdump::cpp20 {

/// The frame's size as its destroy function hands it to the sized operator delete: a constant in the second
/// argument's register just before the call. For frames that debug information does not describe (clang 17 to
/// 19 above -O0). It can be wrong where the coroutine's last destructor deletes something of constant size
/// and the frame has an allocator of its own; callers check the size against the block in which the frame
/// stands. Empty when there is none.
std::optional<std::uint32_t> frame_size_from_code(const CoroutineCode& code);

}  // namespace asyncdump::cpp20
