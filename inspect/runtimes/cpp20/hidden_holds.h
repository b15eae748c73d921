#pragma once

#include <span>
#include <vector>

#include "process/memory.h"

namespace asyncdump::cpp20 {

struct HiddenHoldSources {
    const Memory& memory;
    std::span<const AddressRange> ranges;
    bool whole_words_too = false;  ///< false: where find_holds() has looked at these
};

/// A search that is too slow for every coroutine of every dump, for those of which nothing else found what
/// holds them: to which of the frames (sorted) an address leads that stands anywhere between words, as in
/// packed and serialised structures. An address in the frame itself does not count. What it cannot see:
/// addresses in another form (compressed, xored).
std::vector<bool> find_hidden_holds(const HiddenHoldSources& sources, std::span<const AddressRange> frames,
                                    unsigned workers);

}  // namespace asyncdump::cpp20
