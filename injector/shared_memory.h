#pragma once

#include "process/process_info.h"

namespace asyncdump {

/// Whether the process lives in the memory of its parent, as a child of vfork() or posix_spawn() does until
/// it executes its program: what is done to it is done to the parent, whose threads we have not stopped. True
/// also where the kernel does not tell and a thread of the parent waits as one in vfork() does.
bool shares_memory_with_parent(const ProcessInfo& process);

}  // namespace asyncdump
