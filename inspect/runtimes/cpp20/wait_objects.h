#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/references.h"
#include "runtimes/cpp20/surroundings.h"
#include "runtimes/observation.h"

namespace asyncdump::cpp20 {

/// Adds what memory says of the objects of waits to the summaries, each text once.
class WaitObjects {
  public:
    WaitObjects(const FrameSet& set, const ModuleSet& modules, const Surroundings& surroundings)
        : set_(set), modules_(modules), surroundings_(surroundings) {}

    /// Index in `awaitings` of what frame `i` waits for, as the library says; `general` is that of the same
    /// wait without its object.
    std::uint32_t describe(std::size_t i, const Library& library, std::uint32_t general,
                           std::vector<Awaiting>& awaitings);

  private:
    struct ObjectPlace {
        std::size_t place = 0;
        unsigned misses = 0;
    };
    const FrameSet& set_;
    const ModuleSet& modules_;
    const Surroundings& surroundings_;
    std::unordered_map<std::uint32_t, ObjectPlace> places_;  ///< by general wait
    std::map<std::pair<std::uint32_t, std::string>, std::uint32_t> known_;
    std::vector<std::uint64_t> scratch_;
    std::size_t described_ = 0;
};

}  // namespace asyncdump::cpp20
