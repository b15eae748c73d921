#include "runtimes/cpp20/allocator_memory.h"

#include <algorithm>
#include <optional>

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t most_thread_local_blocks = 256;
constexpr std::uint64_t largest_alignment = 64;

bool is_of_c_library(const Module& module) {
    const std::string& name = module.name();
    return name.starts_with("libc.") || name.starts_with("libc-") || name.starts_with("ld-") ||
           name.starts_with("ld64") || name.starts_with("libasyncdump-agent");
}

const Module* replacing_allocator(const ModuleSet& modules) {
    for (const auto& module : modules.modules()) {
        if (is_of_c_library(*module) || !module->find_exported_symbol("malloc")) continue;
        if (module->find_exported_symbol("_start") || module->find_symbol("_start")) continue;
        return module.get();
    }
    return nullptr;
}

std::uint64_t thread_local_size(const Module& module) {
    const auto initialised = module.section(".tdata");
    const auto zero = module.section(".tbss");
    if (initialised && zero) return zero->end - initialised->begin;
    if (initialised) return initialised->size();
    return zero ? zero->size() : 0;
}

/// The only block under the thread pointer that is as large as the module's.
std::optional<AddressRange> thread_local_block(const Memory& memory, RemoteAddress thread_pointer,
                                               std::uint64_t size) {
    const auto vector = memory.read_pointer(thread_pointer + 8);
    const auto length = vector ? memory.read_value<std::uint64_t>(*vector - 16) : std::nullopt;
    if (!length) return std::nullopt;
    std::vector<RemoteAddress> blocks;
    for (std::size_t i = 1; i <= std::min(*length, most_thread_local_blocks); ++i) {
        const auto block = memory.read_pointer(*vector + 16 * i);
        if (!block) break;
        if (*block < thread_pointer && thread_pointer - *block < (1 << 24)) blocks.push_back(*block);
    }
    std::ranges::sort(blocks, std::ranges::greater{});
    std::optional<AddressRange> found;
    RemoteAddress above = thread_pointer;
    for (const RemoteAddress block : blocks) {
        const std::uint64_t room = above - block;
        above = block;
        if (room < size || room >= size + largest_alignment) continue;
        if (found) return std::nullopt;
        found = AddressRange{block, block + size};
    }
    return found;
}

/// jemalloc's caches of free blocks: each of its thread-local pointers into the heap leads to the first
/// address of a block in such a cache, and the others follow it.
void add_caches(const MemoryMap& map, const Memory& memory, AddressRange variables,
                std::vector<AddressRange>& ranges) {
    constexpr std::uint64_t largest_cache = 64 * 1024;
    std::vector<std::uint64_t> scratch, scratch_of_cache;
    for (const std::uint64_t word : memory.read_words(variables, scratch)) {
        const RemoteAddress begin(word);
        const Mapping* mapping = word % 8 == 0 ? map.find(begin) : nullptr;
        if (mapping == nullptr || !mapping->writable || mapping->is_file() || variables.contains(begin))
            continue;
        const RemoteAddress end = std::min(mapping->range.end, begin + largest_cache);
        std::uint64_t bytes = 0;
        for (const std::uint64_t block : memory.read_words({begin, end}, scratch_of_cache)) {
            if (block == 0) break;
            bytes += 8;
        }
        if (bytes != 0) ranges.push_back({begin, begin + bytes});
    }
}

/// A module's writable data, with what has no value in the file and continues behind it.
void add_data(const MemoryMap& map, AddressRange module, std::vector<AddressRange>& ranges) {
    RemoteAddress end_of_file_part(0);
    for (const Mapping& mapping : map.mappings()) {
        if (!mapping.writable) continue;
        const bool is_data = module.contains(mapping.range.begin);
        const bool continues = !mapping.is_file() && mapping.range.begin == end_of_file_part;
        if (!is_data && !continues) continue;
        ranges.push_back(mapping.range);
        if (is_data) end_of_file_part = mapping.range.end;
    }
}

/// Sorted, those that touch or overlap as one.
void merge(std::vector<AddressRange>& ranges) {
    std::ranges::sort(ranges);
    std::size_t kept = 0;
    for (const AddressRange& range : ranges) {
        if (kept > 0 && range.begin <= ranges[kept - 1].end)
            ranges[kept - 1].end = std::max(ranges[kept - 1].end, range.end);
        else
            ranges[kept++] = range;
    }
    ranges.resize(kept);
}

}  // namespace

bool may_replace_malloc(const ModuleSet& modules) {
    bool has_c_library = false;
    for (const auto& module : modules.modules()) {
        if (is_of_c_library(*module)) {
            has_c_library = true;
        } else if (module->find_exported_symbol("malloc") || module->find_symbol("malloc")) {
            if (!module->find_symbol("__libc_malloc")) return true;
            has_c_library = true;  // a static one
        }
    }
    return !has_c_library;
}

std::vector<AddressRange> allocator_variables(const ModuleSet& modules, const MemoryMap& map,
                                              const Memory& memory,
                                              std::span<const RemoteAddress> thread_pointers) {
    const Module* allocator = replacing_allocator(modules);
    if (allocator == nullptr) return {};
    std::vector<AddressRange> ranges;
    add_data(map, allocator->range(), ranges);
    if (const std::uint64_t size = thread_local_size(*allocator); size != 0) {
        for (const RemoteAddress thread_pointer : thread_pointers) {
            const auto block = thread_local_block(memory, thread_pointer, size);
            if (!block) continue;
            ranges.push_back(*block);
            add_caches(map, memory, *block, ranges);
        }
    }
    merge(ranges);
    return ranges;
}

std::vector<AddressRange> c_library_variables(const ModuleSet& modules, const MemoryMap& map) {
    std::vector<AddressRange> ranges;
    for (const auto& module : modules.modules()) {
        if (is_of_c_library(*module)) add_data(map, module->range(), ranges);
    }
    merge(ranges);
    return ranges;
}

}  // namespace asyncdump::cpp20
