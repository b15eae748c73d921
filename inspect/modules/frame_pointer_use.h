#pragma once

#include <cstdint>
#include <unordered_map>

#include "modules/unwinder.h"

namespace asyncdump {

/// What code has done to the frame pointer (%rbp) at a call, as its unwinding information says. A stack that
/// was walked by frame pointers alone is only as true as every function in it kept them. Not thread-safe.
class FramePointerUse {
  public:
    enum class At : std::uint8_t {
        kept,        ///< it points to this function's own frame
        left_alone,  ///< it is still the caller's: whoever follows it leaves this function's caller out
        lost,        ///< it holds anything, or nothing is known
    };

    explicit FramePointerUse(const ModuleSet& modules);
    /// At the call before a return address.
    At before(RemoteAddress return_address);

  private:
    At look(RemoteAddress pc);

    /// In place of a stack, so that what was computed from which register can be told.
    class MarkedStack final : public Memory {
      public:
        std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override;
    };

    MarkedStack memory_;
    Unwinder unwinder_;
    std::unordered_map<std::uint64_t, At> known_;
};

}  // namespace asyncdump
