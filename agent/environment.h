// Keeps the agent out of the programs that the target starts.
#pragma once

namespace asyncdump::agent {

/// Removes the library whose file name is that of `path` from LD_PRELOAD, in place; removes LD_PRELOAD when
/// nothing is left in it.
void remove_from_preload(const char* path);

}  // namespace asyncdump::agent
