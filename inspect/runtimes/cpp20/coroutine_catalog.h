#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtimes/cpp20/coroutine_code.h"

namespace asyncdump::cpp20 {

/// What the first two words of a frame say together.
struct FrameIdentity {
    std::uint32_t function = 0;  ///< in CoroutineCatalog::functions()
    bool done = false;           ///< the resume pointer is null: at the final suspend point
    bool elided = false;  ///< the frame's memory belongs to another frame or to a stack (clang's .cleanup)
};

/// What of a coroutine a pc belongs to.
struct CoroutinePart {
    enum class Kind : std::uint8_t { resume, destroy, ramp };
    std::uint32_t function = 0;  ///< in CoroutineCatalog::functions()
    Kind kind = Kind::resume;
    RemoteAddress
        entry;  ///< of the resume, destroy, cleanup function or ramp that it is, or is split off from
};

/// All coroutine functions of a process, found by their symbols; no debug information is needed.
class CoroutineCatalog {
  public:
    explicit CoroutineCatalog(const ModuleSet& modules);

    const std::vector<CoroutineCode>& functions() const { return functions_; }

    /// Both pointers must belong to the same coroutine. Where a linker folded identical functions, the first
    /// one answers.
    std::optional<FrameIdentity> identify(RemoteAddress resume, RemoteAddress destroy) const;

    /// The other functions whose frames look like those of `function`, because a linker gave them the same
    /// code: the same resume and destroy function; of a frame that is done, the same destroy function.
    std::vector<std::uint32_t> with_the_same_code(std::uint32_t function, bool done) const;

    /// The resume or destroy function, with its cold part, or the ramp that covers a pc; the first one of
    /// those that share their code.
    std::optional<CoroutinePart> part_at(RemoteAddress pc) const;

    bool is_destroy_entry(std::uint64_t word) const { return destroy_entries_.contains(word); }

    /// Ranges that hold every destroy and cleanup entry, one a module: the scanner's first filter. Sorted.
    const std::vector<AddressRange>& destroy_ranges() const { return destroy_ranges_; }

  private:
    struct Entry {
        std::uint32_t function;
        bool elided;
    };

    std::vector<CoroutineCode> functions_;
    std::unordered_multimap<std::uint64_t, Entry> destroy_entries_;
    std::unordered_multimap<std::uint64_t, std::uint32_t> resume_entries_;
    std::vector<std::pair<AddressRange, CoroutinePart>> code_;  ///< sorted by their ranges
    std::vector<AddressRange> destroy_ranges_;
};

}  // namespace asyncdump::cpp20
