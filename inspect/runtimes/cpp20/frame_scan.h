#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/coroutine_catalog.h"

namespace asyncdump::cpp20 {

/// The mappings in which a coroutine frame can stand: writable, and ordinary memory. Devices are never read,
/// because reading them can have effects; nor are shared mappings of files, where pointers to code would make
/// no sense.
std::vector<AddressRange> scannable_ranges(const MemoryMap& map);

struct ScanResult {
    std::vector<RemoteAddress>
        frames;               ///< addresses whose first two words identify a frame; sorted, each once
    std::uint64_t bytes = 0;  ///< bytes that were read
};

/// Looks at every aligned word of `ranges`. A result is only a candidate: the target may be running, and what
/// stands in freed memory or in a copy looks alike. Uses up to `workers` threads; `memory` must allow
/// concurrent reads.
ScanResult scan_for_frames(const Memory& memory, const std::vector<AddressRange>& ranges,
                           const CoroutineCatalog& catalog, unsigned workers);

}  // namespace asyncdump::cpp20
