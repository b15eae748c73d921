#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "process/memory.h"

namespace asyncdump {

/// Words of memory that were read in one piece.
struct MemoryBlock {
    RemoteAddress begin;
    std::span<const std::uint64_t> words;  ///< valid until the next block is shown
    bool continues = false;                ///< begins where the block before, of the same reader, ended
};

/// Reads `ranges` (aligned to words) in blocks and shows each to one of `readers`, each of which has a thread
/// of its own: reader(MemoryBlock). What cannot be read is left out. With `overlap` bytes the end of one
/// portion of a range is read together with so many bytes behind it, which begin another one.
///
/// `memory` must allow concurrent reads. A reader must not throw.
template <class Reader>
void read_blocks(const Memory& memory, std::span<const AddressRange> ranges, std::span<Reader> readers,
                 std::uint64_t overlap = 0) {
    // One read: large enough to amortise the system call, small enough to stay in the second-level cache
    // while it is looked at.
    constexpr std::size_t block_bytes = 256 * 1024;
    constexpr std::uint64_t portion_bytes = 4 * 1024 * 1024;  // what one reader takes at a time
    std::vector<AddressRange> portions;
    for (const AddressRange& range : ranges) {
        for (RemoteAddress at = range.begin; at < range.end; at = at + portion_bytes)
            portions.push_back({at, std::min(at + portion_bytes, range.end)});
    }
    std::atomic<std::size_t> next{0};
    const auto work = [&](Reader& reader) {
        std::vector<std::uint64_t> words(block_bytes / sizeof(std::uint64_t));
        for (std::size_t i = next.fetch_add(1); i < portions.size(); i = next.fetch_add(1)) {
            const RemoteAddress end = portions[i].end + overlap;
            bool continues = false;
            for (RemoteAddress at = portions[i].begin; at < end;) {
                const auto bytes = std::as_writable_bytes(std::span(words))
                                       .first(std::min<std::uint64_t>(block_bytes, end - at));
                const std::size_t count = memory.read(at, bytes) / sizeof(std::uint64_t);
                const std::uint64_t size = count * sizeof(std::uint64_t);
                if (count > 0) reader(MemoryBlock{at, std::span(words).first(count), continues});
                continues = count > 0 && size == bytes.size();
                // A hole: on at the next page.
                at = continues ? at + size : RemoteAddress(((at + size).value() | 0xFFF) + 1);
            }
        }
    };
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(readers.size(), portions.size()); ++i)
        helpers.emplace_back([&work, &reader = readers[i]] { work(reader); });
    if (!readers.empty()) work(readers.front());
}

}  // namespace asyncdump
