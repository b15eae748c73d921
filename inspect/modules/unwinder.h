#pragma once

#include <string>
#include <vector>

#include "modules/module.h"
#include "process/memory.h"
#include "process/registers.h"

namespace asyncdump {

struct UnwoundFrame {
    RemoteAddress pc;
    bool is_return_address =
        true;  ///< false for the innermost frame and for those at and after a signal's trampoline
    bool is_signal_trampoline =
        false;  ///< the kernel's frame between a signal handler and what it interrupted
    /// Registers as they are in this frame: those that the unwinding information recovers are known,
    /// caller-saved ones of outer frames are not.
    Registers registers;
    RemoteAddress
        canonical_frame_address;  ///< the stack pointer before the call that made this frame; null if unknown
};

struct UnwoundStack {
    std::vector<UnwoundFrame> frames;  ///< innermost first
    std::string truncated;  ///< why it ends early (unreadable stack, no unwinding information, a loop, the
                            ///< limit); empty when complete
};

/// Unwinds by .eh_frame/.debug_frame (libunwind) over copied registers and memory. Text and unwinding tables
/// come from the module's files where memory does not hold them. Frame pointers are the second way where a
/// module has no unwinding information. Bounded by `max_frames`; loops (a stack pointer that does not move
/// up) end the walk.
class Unwinder {
  public:
    Unwinder(const ModuleSet& modules, const Memory& memory);
    ~Unwinder();
    UnwoundStack unwind(const Registers& registers, std::size_t max_frames = 16384);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace asyncdump
