// Whether what the frame holds at a place still matters to the code that goes on from a suspend point.
#pragma once

#include <cstdint>
#include <map>

#include "runtimes/cpp20/dispatch_interpreter.h"
#include "runtimes/cpp20/frame_bases.h"
#include "runtimes/cpp20/function_code.h"

namespace asyncdump::cpp20 {

/// Where a resume function goes on, by the position at which it chooses the number of that suspend point.
using ResumedPositions = std::multimap<FunctionCode::Position, FunctionCode::Position>;

/// Whether the function reads a part of the frame's bytes [begin, end), or passes on an address in it, before
/// it stores there: on the way that the interpreter has gone, and on any way from its end on, also through
/// later suspensions. It cannot see what is reached through an address that was made before, and takes what
/// is read as something else (where the optimiser gave the place away) for a use.
bool is_used_from(const FunctionCode& code, const FrameBases& bases, const DispatchTrace& trace,
                  const ResumedPositions& resumed, std::uint64_t begin, std::uint64_t end);

}  // namespace asyncdump::cpp20
