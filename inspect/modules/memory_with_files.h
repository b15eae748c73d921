#pragma once

#include <algorithm>

#include "modules/module.h"
#include "process/memory.h"
#include "process/page.h"
#include "process/untouched_pages.h"

namespace asyncdump {

/// Memory, and what it does not hold although it is known: the code and constants of the modules' files,
/// which the target maps but cannot change (string literals above all), and the zeros of pages that it never
/// touched.
class MemoryWithFiles final : public Memory {
  public:
    /// `untouched` may be nullptr.
    MemoryWithFiles(const Memory& memory, const ModuleSet& modules, const UntouchedPages* untouched)
        : memory_(memory), modules_(modules), untouched_(untouched) {}

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        std::size_t got = 0;
        while (got < destination.size()) {
            const std::size_t more = read_part(address + got, destination.subspan(got));
            if (more == 0) break;
            got += more;
        }
        return got;
    }

  private:
    std::size_t read_part(RemoteAddress address, std::span<std::byte> destination) const {
        if (const std::size_t got = memory_.read(address, destination); got > 0) return got;
        if (const Module* module = modules_.find(address)) {
            if (const std::size_t got = module->read_file_bytes(address, destination); got > 0) return got;
        }
        if (untouched_ == nullptr || !untouched_->contains(address)) return 0;
        const std::size_t zeros = std::min(destination.size(), bytes_to_page_end(address));
        std::ranges::fill(destination.first(zeros), std::byte{0});
        return zeros;
    }

    const Memory& memory_;
    const ModuleSet& modules_;
    const UntouchedPages* untouched_;
};

}  // namespace asyncdump
