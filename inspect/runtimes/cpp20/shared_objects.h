#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "modules/module.h"
#include "process/memory.h"
#include "process/memory_map.h"
#include "runtimes/cpp20/awaited_objects.h"

namespace asyncdump::cpp20 {

/// Sizes of objects that std::make_shared has made: before them stands a control block whose virtual
/// functions name the class. Where optimised code of clang describes no frame, nothing else tells where such
/// an object ends, and what is left over behind it in its block begins. Must not outlive the modules and the
/// classes.
class SharedObjects {
  public:
    SharedObjects(const ModuleSet& modules, AwaiterClasses& classes) : modules_(modules), classes_(classes) {}

    /// Bytes of the object at an address; 0: it is none, or nobody knows. `layout` is that of a frame that
    /// leads to it: the class is looked for where that one's promise is described.
    std::uint32_t bytes_at(const Memory& memory, const MemoryMap& map, RemoteAddress object,
                           const FrameLayout& layout);

  private:
    const ModuleSet& modules_;
    AwaiterClasses& classes_;
    /// By the virtual functions, and who asked.
    std::map<std::pair<RemoteAddress, const FrameLayout*>, std::uint32_t> known_;
};

}  // namespace asyncdump::cpp20
