#pragma once

#include "modules/module.h"
#include "process/memory.h"

namespace asyncdump {

/// Memory, and for what it does not hold the code and constants of the modules' files, which the target maps
/// but cannot change: string literals above all.
class MemoryWithFiles final : public Memory {
  public:
    MemoryWithFiles(const Memory& memory, const ModuleSet& modules) : memory_(memory), modules_(modules) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const std::size_t got = memory_.read(address, destination);
        if (got == destination.size()) return got;
        const Module* module = modules_.find(address + got);
        return module == nullptr ? got
                                 : got + module->read_file_bytes(address + got, destination.subspan(got));
    }

  private:
    const Memory& memory_;
    const ModuleSet& modules_;
};

}  // namespace asyncdump
