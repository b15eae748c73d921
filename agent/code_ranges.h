// Which words are addresses of code: by this a block is taken for a frame.
#pragma once

#include <cstddef>
#include <cstdint>

namespace asyncdump::agent {

/// Remembers the code of the modules that are loaded now. Call it once, from the constructor: it takes the
/// loader's lock. With `only_executable` (the agent came late: the others may be plugins that leave) only the
/// executable's.
void remember_code_ranges(bool only_executable);

/// Lock-free. True when `word` points into the code of a loaded module. For a module that was not remembered
/// every address in it counts as code, so that a frame of a plugin is not overlooked.
bool is_code(std::uintptr_t word);

/// Whether code at `word` is preceded by a call instruction. True when that cannot be known safely.
bool may_be_return_address(std::uintptr_t word);

/// Whether a block may hold a coroutine frame: two words that are addresses of code, the first of them
/// possibly null when they stand at the beginning. Looks at the beginning, behind a small header, and at the
/// places to which an over-aligned frame would be moved. Errs towards true. The block must be allocated while
/// this runs.
bool may_hold_frame(std::uintptr_t block, std::size_t size);

}  // namespace asyncdump::agent
