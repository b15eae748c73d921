#pragma once

#include <sys/types.h>

#include <unordered_map>
#include <vector>

#include "process/memory_map.h"

namespace asyncdump {

/// Pages of a process that nobody had touched when it was copied: they are zeros, and are not copied, because
/// that would make the kernel map them.
///
/// Such a page is anonymous memory, held no data before the copy, and holds none when it is asked for. It can
/// be wrong: the target may have touched it after the first look and given it back before the second; and
/// where it handles its page faults itself (userfaultfd) an untouched page need not be zeros.
class UntouchedPages {
  public:
    /// `map` and `resident` (resident_parts() of all writable memory, sorted) are from before the copy, and
    /// have to live as long.
    UntouchedPages(pid_t pid, const MemoryMap& map, const std::vector<AddressRange>& resident)
        : pid_(pid), map_(map), resident_(resident) {}

    /// Asks the kernel once for each page. Not thread-safe.
    bool contains(RemoteAddress address) const;

  private:
    bool is_untouched(AddressRange page) const;

    pid_t pid_;
    const MemoryMap& map_;
    const std::vector<AddressRange>& resident_;
    mutable std::unordered_map<std::uint64_t, bool> known_;  // by the page's address
};

}  // namespace asyncdump
