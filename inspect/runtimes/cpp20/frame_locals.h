#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// A local or parameter of a coroutine that lives in its frame, by the location that debug information gives
/// it in the resume function.
struct FrameLocal {
    std::string name;
    Dwarf_Die type{};          ///< valid as long as the module
    std::uint32_t offset = 0;  ///< in the frame
    std::uint32_t line = 0;    ///< of its declaration; 0 when unknown
    bool is_parameter = false;
    std::vector<AddressRange> scope;   ///< code of the block that declares it; empty: the whole function
    std::vector<std::uint32_t> lines;  ///< of the file of its declaration that have code in its block; sorted
};

/// Locals whose place is told as "the frame's address plus a number": both compilers do so, at every level,
/// for most.
std::vector<FrameLocal> read_frame_locals(const CoroutineCode& code);

/// Whether the local is known to be constructed while the coroutine is suspended at `point`: it is declared
/// on an earlier line, and its block holds code of the suspend point, or of the suspend point's line. One
/// that is initialised by the very co_await is not; nor is one of which the line or the block is unknown. It
/// can be wrong for a declaration whose co_await stands on a later line than its name.
bool is_live(const FrameLocal& local, const SuspendPoint& point);

}  // namespace asyncdump::cpp20
