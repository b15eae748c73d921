// Which registers hold the address of a coroutine's frame, in its ramp and in its resume function.
#pragma once

#include <cstdint>
#include <optional>
#include <set>

#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/cpp20/value_sources.h"

namespace asyncdump::cpp20 {

/// Which function's code is looked at: in a resume function the frame is the argument; in a ramp it is the
/// memory into which the resume function's address is stored at offset 0, or what operator new returned.
enum class FunctionRole : std::uint8_t { resume, ramp };

class FrameBases {
  public:
    /// `values` are those of `code`; they have to live as long.
    FrameBases(const ImportedFunctions& imported, const FunctionCode& code, const ValueSources& values,
               FunctionRole role, RemoteAddress resume_function);

    /// Bytes from the frame's begin to what the register points to before the instruction at `at`; empty when
    /// it does not point into the frame.
    std::optional<std::uint64_t> offset_in_frame(Register base, FunctionCode::Position at) const;

    /// The same for what the instruction at `at` reads, writes or makes an address of.
    std::optional<std::uint64_t> touched_by(const Instruction& instruction, FunctionCode::Position at) const;

  private:
    const ValueSources& values_;
    const FunctionRole role_;
    std::set<FunctionCode::Position> frames_;  // calls that return the frame
};

}  // namespace asyncdump::cpp20
