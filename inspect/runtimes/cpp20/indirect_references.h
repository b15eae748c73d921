#pragma once

#include <vector>

#include "process/memory_map.h"
#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/references.h"

namespace asyncdump::cpp20 {

/// Adds to `references`, which are the direct ones sorted by where they come from, what leads from frame to
/// frame over objects on the heap: children in a parent's container, and the paths of heap_paths.h. What the
/// promise of a root names that stands for its leaf (asio's entry point) is no longer taken for its parent.
void add_indirect_references(const FrameSet& set, const MemoryMap& map, const CoroutineCatalog& catalog,
                             std::vector<Reference>& references);

}  // namespace asyncdump::cpp20
