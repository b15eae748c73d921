#include "runtimes/cpp20/frames.h"

#include <algorithm>
#include <array>

namespace asyncdump::cpp20 {
namespace {

/// What is looked at of a frame whose size nobody tells.
constexpr std::uint32_t default_extent = 1024;
constexpr std::uint64_t size_rounding = 16, largest_rounding = 256;
/// malloc's words before a block, and how far behind a frame the next block's may stand.
constexpr std::uint64_t malloc_header = 16, behind_block = 64;
/// Larger frames exist, but nothing beyond this is looked at: bounds what hostile sizes can cost.
constexpr std::uint32_t largest_extent = 4 * 1024 * 1024;

std::optional<FrameIdentity> identify(const Memory& memory, const CoroutineCatalog& catalog,
                                      RemoteAddress address) {
    const auto words = memory.read_value<std::array<std::uint64_t, 2>>(address);
    if (!words) return std::nullopt;
    return catalog.identify(RemoteAddress((*words)[0]), RemoteAddress((*words)[1]));
}

/// GCC writes a frame's own address into it when the coroutine starts. A copy holds the address of its
/// original, and two pointers that merely stand side by side (in a spilled vector register, for instance) are
/// followed by something else.
bool is_copy(const Memory& memory, const FrameLayout& layout, const Frame& frame) {
    if (!layout.self_handle || !layout.index) return false;
    const auto handle = memory.read_value<std::uint64_t>(frame.address + *layout.self_handle);
    const auto index = memory.read_value<std::uint16_t>(frame.address + layout.index->offset);
    const bool not_started = frame.owns_block && index && *index == 0;
    return handle && *handle != frame.address.value() && !not_started;
}

/// GCC's destroy function makes the resume index odd before it runs, and an allocator that leaves freed
/// memory as it was leaves that. In a block that is known to be handed out the coroutine is only being
/// destroyed at this moment.
bool was_destroyed(const Memory& memory, const FrameLayout& layout, const Frame& frame) {
    if (!layout.index || frame.owns_block) return false;
    const auto index = memory.read_value<std::uint16_t>(frame.address + layout.index->offset);
    return index && (*index & 1) != 0;
}

/// For each address the block of the heap, or of the agent's registry, in which it lies.
struct KnownBlock : HeapBlock {
    bool is_registered = false;
};

std::vector<KnownBlock> find_blocks(const Memory& memory, const MemoryMap& map,
                                    std::span<const RemoteAddress> addresses,
                                    std::span<const AddressRange> registered) {
    std::vector<KnownBlock> blocks(addresses.size());
    std::vector<RemoteAddress> elsewhere;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        if (const AddressRange* const block = find_range(registered, addresses[i])) {
            blocks[i].state = HeapBlock::State::allocated;
            blocks[i].usable = *block;
            blocks[i].is_registered = true;
        } else {
            elsewhere.push_back(addresses[i]);
            places.push_back(i);
        }
    }
    const std::vector<HeapBlock> walked = find_heap_blocks(memory, map, elsewhere);
    for (std::size_t i = 0; i < walked.size(); ++i) static_cast<HeapBlock&>(blocks[places[i]]) = walked[i];
    return blocks;
}

bool needs_block_header(const Frame& frame) {
    return frame.in_glibc_heap && !frame.owns_block && !frame.elided;
}

/// Of a frame in glibc's heap: do the headers before it and behind its block say that a block in use begins
/// here? (malloc_chunk in glibc's malloc.c: the size word stands before the block; its lowest bit, and the
/// next chunk's, tell whether the chunk before is in use.) Words of other content may look like both headers.
bool begins_block(const Memory& memory, const Frame& frame) {
    constexpr std::uint64_t flags = 7, previous_in_use = 1, mapped = 2;
    const auto size_word = memory.read_value<std::uint64_t>(frame.address - 8);
    if (!size_word) return false;
    const std::uint64_t size = *size_word & ~flags;
    const std::uint64_t least = (frame.extent + 8 + 15) & ~15ULL;
    if (size % 16 != 0 || size < least) return false;
    if (frame.size_is_known && (*size_word & mapped) == 0 && size > least + 16) return false;
    if ((*size_word & mapped) != 0) return true;
    const auto next = memory.read_value<std::uint64_t>(frame.address - 8 + size);
    return next && (*next & previous_in_use) != 0 && (*next & ~flags) >= 16;
}

}  // namespace

std::vector<AddressRange> ranges_of(std::span<const Frame> frames) {
    std::vector<AddressRange> ranges;
    ranges.reserve(frames.size());
    for (const Frame& frame : frames) ranges.push_back(frame.range());
    return ranges;
}

const FrameLayout& LayoutCache::of(std::uint32_t function) {
    auto& layout = layouts_[function];
    if (!layout)
        layout = std::make_unique<FrameLayout>(
            read_frame_layout(catalog_.functions()[function], user_, pointers_));
    return *layout;
}

std::vector<Frame> examine_frames(const Memory& memory, const MemoryMap& map, const CoroutineCatalog& catalog,
                                  LayoutCache& layouts, std::span<const RemoteAddress> addresses,
                                  std::span<const AddressRange> registered) {
    const std::vector<KnownBlock> blocks = find_blocks(memory, map, addresses, registered);
    const auto cache_key = thread_cache_key(memory, map);
    std::vector<RemoteAddress> other_blocks;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const bool is_piece = blocks[i].state == HeapBlock::State::allocated && blocks[i].of_glibc &&
                              blocks[i].usable.begin != addresses[i];
        if (is_piece) other_blocks.push_back(blocks[i].usable.begin);
    }
    const auto stream_buffers = find_stream_buffers(memory, map, std::move(other_blocks));
    std::vector<Frame> frames;
    frames.reserve(addresses.size());
    for (std::size_t i = 0; i < addresses.size(); ++i) {
        const RemoteAddress address = addresses[i];
        const KnownBlock& block = blocks[i];
        if (block.state == HeapBlock::State::free) continue;
        // What lies further inside a block that a thread's cache holds stands as it was when it was freed.
        const bool is_cached = block.usable.begin != address && is_in_thread_cache(memory, block, cache_key);
        if (is_cached || std::ranges::binary_search(stream_buffers, block.usable.begin)) continue;
        const auto identity = identify(memory, catalog, address);
        if (!identity) continue;
        const FrameLayout& layout = layouts.of(identity->function);
        Frame frame;
        frame.address = address;
        frame.function = identity->function;
        frame.done = identity->done;
        frame.elided = identity->elided;
        const bool in_block = block.state == HeapBlock::State::allocated;
        frame.in_glibc_heap = block.of_glibc;
        frame.block_is_known = in_block;
        frame.owns_block = in_block && block.usable.begin == address;
        frame.found_by_registry = block.is_registered;
        if (is_copy(memory, layout, frame) || was_destroyed(memory, layout, frame)) continue;
        std::uint64_t most = in_block ? block.usable.end - address : largest_extent;
        if (const Mapping* mapping = map.find(address)) most = std::min(most, mapping->range.end - address);
        // clang rounds the described size up to the frame's alignment, of which it is a multiple then. A size
        // read from code is believed when the block is of that size.
        const std::uint64_t rounding =
            std::clamp<std::uint64_t>(layout.size & -layout.size, size_rounding, largest_rounding);
        const bool size_fits =
            layout.size < most + rounding &&
            (layout.size_is_described || !frame.owns_block || layout.size + 2 * size_rounding > most);
        // What does not fit where it stands is no frame.
        if (layout.size_is_described && in_block && !size_fits) continue;
        if (layout.size != 0 && size_fits) {
            frame.extent = static_cast<std::uint32_t>(std::min<std::uint64_t>(layout.size, most));
            frame.size_is_known = true;
        } else {
            // Without debug information the block's size is the bound; elsewhere the next frame's beginning
            // is.
            if (!in_block) most = std::min<std::uint64_t>(most, default_extent);
            if (!frame.owns_block && i + 1 < addresses.size())
                most = std::min(most, addresses[i + 1] - address);
            frame.extent = static_cast<std::uint32_t>(std::min<std::uint64_t>(most, largest_extent));
        }
        frames.push_back(frame);
    }
    return frames;
}

std::vector<AddressRange> block_headers_of(std::span<const Frame> frames) {
    std::vector<AddressRange> ranges;
    for (const Frame& frame : frames) {
        if (!needs_block_header(frame)) continue;
        ranges.push_back({frame.address - malloc_header, frame.address + frame.extent + behind_block});
    }
    return ranges;
}

std::vector<Frame> still_valid(const Memory& memory, const CoroutineCatalog& catalog,
                               std::span<const Frame> frames) {
    std::vector<Frame> valid;
    valid.reserve(frames.size());
    for (Frame frame : frames) {
        const auto identity = identify(memory, catalog, frame.address);
        if (!identity || identity->function != frame.function || identity->elided != frame.elided) continue;
        frame.done = identity->done;
        if (needs_block_header(frame) && begins_block(memory, frame))
            frame.owns_block = frame.block_is_known = true;
        valid.push_back(frame);
    }
    return valid;
}

}  // namespace asyncdump::cpp20
