#include "process/ended_threads.h"

#include <array>

namespace asyncdump {
namespace {

/// The descriptor has some 2,300 bytes; the thread pointer leads to its beginning.
constexpr std::size_t searched_bytes = 4096;
/// Both hold the thread pointer itself: the ABI's word at its target, and tcbhead_t::self.
constexpr std::size_t self_word = 2;
/// pthread::tid, since glibc 2.3.4.
constexpr std::size_t thread_id_offset = 0x2d0;
/// Bounds what a process with very many mappings can cost while it is stopped.
constexpr std::size_t most_looked_at = 256;

bool belongs_to_ended_thread(const Memory& memory, AddressRange stack) {
    std::array<std::uint64_t, searched_bytes / 8> words{};
    const RemoteAddress begin = stack.end - searched_bytes;
    if (!memory.read_all(begin, std::as_writable_bytes(std::span(words)))) return false;
    for (std::size_t i = 0; i + thread_id_offset / 8 < words.size(); ++i) {
        const std::uint64_t here = (begin + i * 8ULL).value();
        if (words[i] != here || words[i + self_word] != here) continue;
        // Zero once it has ended, -1 once it was joined as well.
        return static_cast<std::int32_t>(words[i + thread_id_offset / 8]) <= 0;
    }
    return false;
}

}  // namespace

std::vector<AddressRange> stacks_of_ended_threads(const Memory& memory, const MemoryMap& map) {
    std::vector<AddressRange> stacks;
    std::size_t looked_at = 0;
    for (const Mapping& mapping : map.mappings()) {
        const bool may_be_stack = mapping.readable && mapping.writable && !mapping.is_file() &&
                                  mapping.path.empty() && mapping.range.size() > searched_bytes &&
                                  map.has_guard_below(mapping);
        if (!may_be_stack) continue;
        if (++looked_at > most_looked_at) break;
        if (belongs_to_ended_thread(memory, mapping.range)) stacks.push_back(mapping.range);
    }
    return stacks;
}

}  // namespace asyncdump
