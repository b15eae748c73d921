#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "process/memory_map.h"
#include "runtimes/cpp20/references.h"

namespace asyncdump::cpp20 {

struct ContainerWord {
    std::uint32_t offset = 0;  ///< in the frame
    bool of_awaiter = false;   ///< its live awaiter leads by it
};

/// Which words of a frame lead to which frames through one object: on the heap (a vector of child tasks), or
/// wherever a pointer of the live awaiter leads to one of a known size. Must not outlive the set and the map.
class ContainerWords {
  public:
    ContainerWords(const FrameSet& set, const MemoryMap& map) : set_(set), map_(map) {}

    /// The word of `from` that leads to `to`. Words of the live awaiter come first. Empty when there is none.
    std::optional<ContainerWord> find(std::uint32_t from, std::uint32_t to);

  private:
    using Row = std::unordered_map<std::uint32_t, ContainerWord>;
    static std::optional<ContainerWord> word_in(const Row& row, std::uint32_t to);
    Row read(std::uint32_t from);
    std::optional<AddressRange> object_of(std::uint32_t from, std::span<const std::uint64_t> words,
                                          std::uint32_t i) const;

    const FrameSet& set_;
    const MemoryMap& map_;
    std::unordered_map<std::uint32_t, Row> crowds_;  ///< of frames that lead to many: each will be asked for
    std::vector<std::uint64_t> scratch_, scratch_of_object_;
};

}  // namespace asyncdump::cpp20
