#include "runtimes/cpp20/container_words.h"

#include <algorithm>

#include "runtimes/cpp20/heap_objects.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t most_objects = 24;  ///< of a frame's words are looked at

/// A place where a word may stand: on the heap, a stack, in a module's data.
bool is_data(const MemoryMap& map, std::uint64_t address) {
    const Mapping* const mapping = address % 8 == 0 ? map.find(RemoteAddress(address)) : nullptr;
    return mapping != nullptr && mapping->writable;
}

/// Of what a pointer of the live awaiter is declared to lead to, at most 4 KiB: it may be anywhere, as a
/// member of a server that is a global or lives on a stack. Where nobody knows the awaiter's place, any word
/// of the frame may be that pointer, if its class has one. 0: it is none.
std::uint32_t bytes_behind_pointer(const FrameView& view, std::uint32_t offset) {
    constexpr std::uint32_t most_bytes = 4096;
    const AwaiterSlot& live = view.awaiter->live;
    const auto& pointers = view.awaiter->pointers;
    if (live.end == 0 && !pointers.empty() && !view.is_in_promise(offset))
        return std::min(std::ranges::max(pointers, {}, &AwaiterPointer::bytes).bytes, most_bytes);
    if (offset < live.begin || offset >= live.end) return 0;
    const auto pointer = std::ranges::find(pointers, offset - live.begin, &AwaiterPointer::offset);
    return pointer != pointers.end() ? std::min(pointer->bytes, most_bytes) : 0;
}

}  // namespace

std::optional<ContainerWord> ContainerWords::find(std::uint32_t from, std::uint32_t to) {
    const auto known = crowds_.find(from);
    if (known != crowds_.end()) return word_in(known->second, to);
    Row row = read(from);
    const auto found = word_in(row, to);
    constexpr std::size_t few = 16;
    if (row.size() > few) crowds_.emplace(from, std::move(row));
    return found;
}

std::optional<ContainerWord> ContainerWords::word_in(const Row& row, std::uint32_t to) {
    const auto found = row.find(to);
    return found != row.end() ? std::optional(found->second) : std::nullopt;
}

ContainerWords::Row ContainerWords::read(std::uint32_t from) {
    Row row;
    const auto words = set_.memory.read_words(set_.frames[from].range(), scratch_);
    const auto of_awaiter = awaiter_words(set_.frames[from], set_.views[from], words);
    const auto is_of_awaiter = [&](std::uint32_t i) {
        return std::ranges::find(of_awaiter, i * 8) != of_awaiter.end();
    };
    std::size_t looked_at = 0;
    for (const bool in_awaiter : {true, false}) {
        for (std::uint32_t i = 2; i < words.size() && looked_at < most_objects; ++i) {
            if (is_of_awaiter(i) != in_awaiter || set_.index.find(words[i]) != FrameIndex::none) continue;
            const auto object = object_of(from, words, i);
            if (!object) continue;
            ++looked_at;
            for (const std::uint64_t inner : set_.memory.read_words(*object, scratch_of_object_)) {
                if (leads_to_frame(set_, inner))
                    row.try_emplace(set_.index.find(inner), ContainerWord{i * 8, in_awaiter});
            }
        }
    }
    return row;
}

std::optional<AddressRange> ContainerWords::object_of(std::uint32_t from,
                                                      std::span<const std::uint64_t> words,
                                                      std::uint32_t i) const {
    if (is_heap(map_, set_.stacks, words[i]))
        return object_behind(set_.memory, map_, words, i, bytes_behind(set_, map_, from, i * 8, words[i]),
                             [this](std::uint64_t word) { return leads_to_frame(set_, word); });
    const std::uint32_t bytes = is_data(map_, words[i]) ? bytes_behind_pointer(set_.views[from], i * 8) : 0;
    if (bytes == 0) return std::nullopt;
    return AddressRange{RemoteAddress(words[i]), RemoteAddress(words[i]) + bytes};
}

}  // namespace asyncdump::cpp20
