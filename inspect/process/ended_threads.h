#pragma once

#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"

namespace asyncdump {

/// The stacks of threads that have ended, which glibc keeps for the next one: what stands there is left over.
/// Sorted.
///
/// Such a stack is a mapping with a guard below, and the thread's descriptor (struct pthread, nptl/descr.h)
/// at its upper end, of which the kernel and pthread_join() have cleared the thread's id. Stacks that a
/// program made itself, and those that a neighbouring mapping was joined with, are not recognised. The target
/// must be stopped: a new thread may begin on such a stack at any moment.
std::vector<AddressRange> stacks_of_ended_threads(const Memory& memory, const MemoryMap& map);

}  // namespace asyncdump
