#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "modules/unwinder.h"
#include "runtimes/cpp20/frame_pointer_variables.h"
#include "runtimes/cpp20/frames.h"
#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

struct ThreadStack {
    std::int32_t tid = 0;
    const UnwoundStack* stack = nullptr;
};

/// Which coroutine each of the coroutines' own functions on the threads' stacks is executing.
///
/// The frame's address comes from where the machine code keeps it (frame_pointer.h), else from what debug
/// information says (frame_pointer_variables.h): from registers that unwinding recovers, and from words of
/// the stack. Where neither can be told, one frame of that function that is alone in the activation's
/// registers and words is believed; this can be wrong when the true one is in none of them.
///
/// In each case a frame of that very function has to lie there, by its content.
class RunningCoroutines {
  public:
    /// Both must outlive it.
    RunningCoroutines(const CoroutineCatalog& catalog, LayoutCache& layouts);
    ~RunningCoroutines();

    /// `frames` are sorted by address. In the order of `stacks`, each from the inside out.
    std::vector<RunningFrame> find(const Memory& memory, std::span<const Frame> frames,
                                   std::span<const ThreadStack> stacks);

  private:
    class Search;
    struct Code;
    const Code& code_of(const CoroutinePart& part);

    const CoroutineCatalog& catalog_;
    FramePointerVariables variables_;
    std::map<RemoteAddress, std::unique_ptr<Code>> code_;  ///< by entry
    std::map<const Module*, ImportedFunctions> imported_;
};

}  // namespace asyncdump::cpp20
