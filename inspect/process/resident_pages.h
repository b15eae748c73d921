#pragma once

#include <sys/types.h>

#include <vector>

#include "base/error.h"
#include "process/memory_map.h"

namespace asyncdump {

/// The parts of `ranges` whose pages hold data of their own (present or swapped out; /proc/PID/pagemap).
/// Pages that were never touched read as zeros and reading them would make the kernel map them: they are left
/// out. Where pagemap cannot be read the ranges are returned unchanged. Sorted; adjacent pages merged.
std::vector<AddressRange> resident_parts(pid_t pid, const std::vector<AddressRange>& ranges);

}  // namespace asyncdump
