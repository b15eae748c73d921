#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "modules/unwinder.h"
#include "process/memory.h"
#include "runtimes/cpp20/frames.h"

namespace asyncdump::cpp20 {

/// Where debug information says that the frames of the coroutines lie whose code an activation executes: by
/// GCC's `frame_ptr`, by clang's `__coro_frame` and `__promise`. Coroutines that were inlined are seen, too:
/// a ramp that runs the body itself may be part of any function.
class FramePointerVariables {
  public:
    /// Both must outlive it.
    FramePointerVariables(const CoroutineCatalog& catalog, LayoutCache& layouts);

    struct Found {
        std::uint32_t function = 0;  ///< in the catalog
        std::uint32_t inlined = 0;   ///< as RunningFrame has it
        RemoteAddress frame;         ///< null: of each inlined one there is such an entry, too
    };
    /// Outermost first. Functions of one name in several units cannot be told apart here: then there is an
    /// entry for each, and the frame's content tells which one is true.
    std::vector<Found> frames_of(const UnwoundFrame& activation, const Memory& memory);

  private:
    struct Variable {
        enum class Kind : std::uint8_t { none, pointer, frame, promise };
        Dwarf_Die function{};  ///< not inlined: the one with the frame base
        Dwarf_Die die{};
        Kind kind = Kind::pointer;
        std::uint32_t inlined = 0;
        const std::vector<std::uint32_t>* functions = nullptr;
    };
    const std::vector<Variable>& variables_at(const Module& module, RemoteAddress pc);

    LayoutCache& layouts_;
    /// Functions of the catalog by their ramps' linkage names.
    std::unordered_map<const Module*, std::map<std::string, std::vector<std::uint32_t>>> by_name_;
    std::unordered_map<std::uint64_t, std::vector<Variable>> variables_;  ///< by pc
    std::vector<const Module*> modules_;                                  ///< sorted by address
};

}  // namespace asyncdump::cpp20
