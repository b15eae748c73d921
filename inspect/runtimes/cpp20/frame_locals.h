#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtimes/cpp20/coroutine_code.h"
#include "runtimes/cpp20/frame_layout.h"
#include "runtimes/cpp20/suspend_point.h"

namespace asyncdump::cpp20 {

/// A local or parameter of a coroutine that lives in its frame, by the location that debug information gives
/// it in the resume function.
struct FrameLocal {
    std::string name;
    Dwarf_Die type{};                    ///< valid as long as the module
    std::uint32_t offset = 0;            ///< in the frame
    std::uint32_t line = 0, column = 0;  ///< of its declaration; 0 when unknown
    bool is_parameter = false;
    std::vector<AddressRange> scope;      ///< code of the block that declares it; empty: the whole function
    std::vector<TextPosition> positions;  ///< in the file of its declaration, that have code in its block
    /// Code for which debug information says that it is at the offset; empty: for all in which it is alive.
    /// Mostly it is there at the suspend points behind as well, but the optimiser may have given the place to
    /// something else (reused_words.h).
    std::vector<AddressRange> located;
};

/// Locals whose place is told as "the frame's address plus a number": both compilers do so, at every level,
/// for most; and those that GCC's frame type has.
std::vector<FrameLocal> read_frame_locals(const CoroutineCode& code, const FrameLayout& layout);

/// Whether what is declared at `line` and `column` (0: unknown) stands before the statement that is suspended
/// at `point`. On one line with the statement only by the source text, in a block that has not ended there.
/// Without the text it can be wrong for a declaration whose co_await stands on a later line than its name.
bool is_declared_before(std::string_view name, std::uint32_t line, std::uint32_t column,
                        const SuspendPoint& point);

/// Whether the local is known to be constructed while the coroutine is suspended at `point`: it is declared
/// before, its block holds code of the suspend point, or of its statement, and it has its place there. One
/// that is initialised by the very co_await is not; nor is one of which the line or the block is unknown.
bool is_live(const FrameLocal& local, const SuspendPoint& point);

}  // namespace asyncdump::cpp20
