// Whether the optimiser has given a local's place in the frame to something else.
#pragma once

#include <cstdint>
#include <span>

#include "runtimes/cpp20/frame_bases.h"
#include "runtimes/cpp20/function_code.h"

namespace asyncdump::cpp20 {

/// Whether the resume function stores into a word of the frame from where the way does not lead into
/// `located` (the code for which debug information says what the word is) before the next such store: what is
/// stored there is something else. A store of a constant does not count, by which a guard is emptied. It
/// cannot see what a function writes that is called with the word's address.
bool is_reused(const FunctionCode& code, const FrameBases& bases, std::uint64_t offset,
               std::span<const AddressRange> located);

}  // namespace asyncdump::cpp20
