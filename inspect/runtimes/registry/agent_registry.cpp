#include "runtimes/registry/agent_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace asyncdump {
namespace {

constexpr std::uint32_t largest_header = 64 * 1024;
constexpr std::uint32_t largest_structure = 4096;
constexpr unsigned most_index_bits = 20;  // of a leaf in its region, of a granule in its leaf
constexpr std::uint64_t most_regions = std::uint64_t{1} << 17;
/// 128 KiB of heap each: beyond 128 GiB of heap with frames the rest is left out.
constexpr std::size_t most_leaves = std::size_t{1} << 20;
constexpr std::size_t most_blocks = std::size_t{1} << 25;
constexpr std::size_t page = 4096;

tl::unexpected<Error> malformed(std::string_view what) {
    return failure(ErrorCode::malformed,
                   fmt::format("the registry of asyncdump's agent is not usable: {}", what));
}

/// At most `limit` bytes of a structure that says it has `declared`.
std::vector<std::byte> read_structure(const Memory& memory, RemoteAddress address, std::uint64_t declared,
                                      std::size_t limit = largest_structure) {
    std::vector<std::byte> bytes(std::min<std::uint64_t>(declared, limit));
    bytes.resize(memory.read(address, bytes));
    return bytes;
}

/// Reads a table of which pages may be missing in a copy of memory, because they were never touched: zeroes.
void read_sparse(const Memory& memory, RemoteAddress address, std::span<std::byte> destination) {
    std::ranges::fill(destination, std::byte{0});
    std::size_t done = 0;
    while (done < destination.size()) {
        done += memory.read(address + done, destination.subspan(done));
        if (done == destination.size()) return;
        const std::size_t to_next_page = page - (address + done).value() % page;
        const auto missing = destination.subspan(done, std::min(to_next_page, destination.size() - done));
        std::ranges::fill(missing, std::byte{0});
        done += missing.size();
    }
}

bool is_sound(const asyncdump_registry_header& header) {
    const auto narrow = [](std::uint32_t low, std::uint32_t high) {
        return low < high && high - low <= most_index_bits;
    };
    if (!narrow(header.granule_shift, header.leaf_shift) || !narrow(header.leaf_shift, header.region_shift) ||
        header.region_shift >= header.address_bits || header.address_bits > 57 || header.granule_shift < 3)
        return false;
    const std::uint64_t granules = std::uint64_t{1} << (header.leaf_shift - header.granule_shift);
    return header.record_size >= sizeof(std::uint64_t) && header.record_size <= largest_structure &&
           header.record_offset >= granules && header.record_offset <= 2 * granules + page &&
           header.region_table.count <= most_regions && header.region_table.entry_size >= 8 &&
           header.region_table.entry_size <= largest_structure && header.origin_chunk_shift <= 24 &&
           header.annotation_chunk_shift <= 24 && header.origin_unit <= largest_structure &&
           header.origin_header_size <= largest_structure && header.annotation_size <= largest_structure &&
           header.origin_chunks.entry_size <= largest_structure &&
           header.annotation_chunks.entry_size <= largest_structure;
}

std::string text_of(const char* field) {
    return std::string(field, strnlen(field, ASYNCDUMP_NAME_BYTES));
}

}  // namespace

Result<std::optional<AgentRegistry>> AgentRegistry::find(const ModuleSet& modules, const Memory& memory) {
    std::optional<Error> error;
    for (const auto& module : modules.modules()) {
        const auto symbol = module->find_exported_symbol(ASYNCDUMP_REGISTRY_SYMBOL);
        if (!symbol) continue;
        AgentRegistry registry;
        registry.address_ = symbol->address;
        registry.module_name_ = module->name();
        registry.of_debug_information_ = registry.layout_.place_by_debug_information(*module);
        if (auto read = registry.read_header(memory); !read) {
            error = read.error();
            continue;
        }
        return registry;
    }
    if (error) return tl::unexpected<Error>(*error);
    return std::nullopt;
}

Result<AgentRegistry> AgentRegistry::at(RemoteAddress address, const Memory& memory) {
    AgentRegistry registry;
    registry.address_ = address;
    if (auto read = registry.read_header(memory); !read) return tl::unexpected<Error>(read.error());
    return registry;
}

Result<void> AgentRegistry::read_header(const Memory& memory) {
    // The beginning is the same in all versions.
    struct Prefix {
        std::uint64_t magic;
        std::uint16_t version_major, version_minor;
        std::uint32_t header_size;
    };
    const auto prefix = memory.read_value<Prefix>(address_);
    if (!prefix) return malformed("it cannot be read");
    if (prefix->magic != ASYNCDUMP_REGISTRY_MAGIC) return malformed("it does not begin as one");
    if (prefix->version_major != ASYNCDUMP_VERSION_MAJOR) {
        return malformed(fmt::format("it has version {}, and this asyncdump knows version {}",
                                     prefix->version_major, int{ASYNCDUMP_VERSION_MAJOR}));
    }
    if (prefix->header_size < sizeof(Prefix) || prefix->header_size > largest_header)
        return malformed("its header has an impossible size");
    const auto bytes = read_structure(memory, address_, prefix->header_size, largest_header);
    if (bytes.size() != prefix->header_size) return malformed("its header cannot be read");
    header_ = layout_.header(bytes);
    if (header_.state == ASYNCDUMP_STATE_STARTING) return malformed("the agent has not started yet");
    if (!is_sound(header_)) return malformed("its header contradicts itself");
    return {};
}

std::string AgentRegistry::why_incomplete(const Memory& memory) const {
    AgentRegistry now = *this;
    if (!now.read_header(memory)) return "its header cannot be read";
    const asyncdump_registry_header& header = now.header_;
    const asyncdump_counters counters = layout_.counters(
        read_structure(memory, RemoteAddress(header.counters.address), header.counters.entry_size));
    std::string reasons;
    const auto add = [&](bool is_so, std::string_view reason) {
        if (is_so) reasons += fmt::format("{}{}", reasons.empty() ? "" : "; ", reason);
    };
    const auto flag = [&](unsigned bit) { return (header.flags & bit) != 0; };
    const bool own = flag(ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW);
    add(own, "the executable has its own operator new");
    add(flag(ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW), "an allocator was preloaded before the agent");
    add(!own && flag(ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW), "the executable imports no operator new");
    add(flag(ASYNCDUMP_FLAG_PATCHED), "the agent was injected, and modules loaded since are not hooked");
    add(counters.dropped_no_memory + counters.dropped_outside + counters.dropped_collisions != 0,
        "the agent could not register every block");
    add(counters.late_verdicts != 0, "coroutines were found at places taken for plain allocations");
    if (reasons.empty() && asyncdump_is_incomplete(&header, &counters) != 0)
        reasons = "the agent does not record";
    return reasons;
}

std::vector<std::uint64_t> AgentRegistry::used_regions(const Memory& memory) const {
    const RemoteAddress list(header_.region_list.address);
    const auto count = memory.read_value<std::uint32_t>(list);
    if (!count) return {};
    std::vector<std::uint32_t> numbers(std::min<std::uint64_t>(*count, most_regions));
    read_sparse(memory, list + offsetof(asyncdump_region_list, numbers_plus_one),
                std::as_writable_bytes(std::span(numbers)));
    std::vector<std::uint64_t> regions;
    for (const std::uint32_t number : numbers)
        if (number != 0 && number <= header_.region_table.count) regions.push_back(number - 1);
    std::ranges::sort(regions);
    const auto [first, last] = std::ranges::unique(regions);
    regions.erase(first, last);
    return regions;
}

std::vector<RegisteredBlock> AgentRegistry::blocks(const Memory& memory) const {
    std::vector<RegisteredBlock> blocks;
    std::size_t seen_leaves = 0;
    std::vector<std::uint64_t> leaves(std::size_t{1} << (header_.region_shift - header_.leaf_shift));
    for (const std::uint64_t region : used_regions(memory)) {
        const RemoteAddress entry(header_.region_table.address + region * header_.region_table.entry_size);
        const auto table = memory.read_pointer(entry);
        if (!table || table->is_null()) continue;
        read_sparse(memory, *table, std::as_writable_bytes(std::span(leaves)));
        for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf) {
            if (leaves[leaf] == 0) continue;
            if (++seen_leaves > most_leaves || blocks.size() > most_blocks) return blocks;
            read_leaf(memory, region, leaf, RemoteAddress(leaves[leaf]), blocks);
        }
    }
    return blocks;
}

void AgentRegistry::read_leaf(const Memory& memory, std::uint64_t region, std::uint64_t leaf,
                              RemoteAddress address, std::vector<RegisteredBlock>& blocks) const {
    std::vector<std::uint8_t> flags(std::size_t{1} << (header_.leaf_shift - header_.granule_shift));
    if (!memory.read_all(address, std::as_writable_bytes(std::span(flags)))) return;
    // Records are read in runs of about a page: those of granules without a block may never have been
    // touched.
    const std::size_t run = std::max<std::size_t>(1, page / header_.record_size);
    std::vector<std::byte> records(run * header_.record_size);
    for (std::size_t begin = 0; begin < flags.size(); begin += run) {
        const std::size_t end = std::min(begin + run, flags.size());
        const auto is_live = [](std::uint8_t slot) { return asyncdump_is_live(slot) != 0; };
        const auto first = std::find_if(flags.begin() + static_cast<std::ptrdiff_t>(begin),
                                        flags.begin() + static_cast<std::ptrdiff_t>(end), is_live);
        std::size_t granule = static_cast<std::size_t>(first - flags.begin());
        if (granule == end) continue;
        const RemoteAddress from = address + header_.record_offset + granule * header_.record_size;
        const std::size_t wanted = (end - granule) * header_.record_size;
        const std::size_t got = memory.read(from, std::span(records).first(wanted));
        const std::size_t base = granule;
        for (; granule < end; ++granule) {
            const std::size_t offset = (granule - base) * header_.record_size;
            if (offset + header_.record_size > got) break;
            if (!is_live(flags[granule])) continue;
            const auto record = layout_.record(std::span(records).subspan(offset, header_.record_size));
            RegisteredBlock block;
            block.address =
                RemoteAddress(asyncdump_block_address(&header_, region, leaf, granule, flags[granule]));
            const std::uint64_t size = asyncdump_size(record.identity);
            block.size = size == ASYNCDUMP_SIZE_UNKNOWN ? 0 : size;
            block.created = asyncdump_time(record.creation);
            block.thread = asyncdump_thread(record.identity);
            block.origin = asyncdump_origin_id(record.identity);
            if (asyncdump_is_annotated(flags[granule]))
                block.annotation = asyncdump_annotation_id(record.creation);
            block.is_explicit = (flags[granule] & ASYNCDUMP_SLOT_EXPLICIT) != 0;
            block.is_of_malloc = (flags[granule] & ASYNCDUMP_SLOT_MALLOC) != 0;
            blocks.push_back(block);
        }
    }
}

std::optional<RemoteAddress> AgentRegistry::chunk(const Memory& memory, const asyncdump_part& directory,
                                                  std::uint64_t index) const {
    if (index >= directory.count || directory.entry_size < 8) return std::nullopt;
    const auto address = memory.read_pointer(RemoteAddress(directory.address + index * directory.entry_size));
    return address && !address->is_null() ? address : std::nullopt;
}

std::vector<RemoteAddress> AgentRegistry::stack(const Memory& memory, std::uint32_t origin) const {
    if (origin == 0) return {};
    const auto base = chunk(memory, header_.origin_chunks, origin >> header_.origin_chunk_shift);
    if (!base) return {};
    const std::uint64_t place = origin & ((std::uint64_t{1} << header_.origin_chunk_shift) - 1);
    const RemoteAddress address = *base + place * header_.origin_unit;
    const std::uint32_t depth =
        layout_.origin(read_structure(memory, address, header_.origin_header_size)).depth;
    if (depth > ASYNCDUMP_MAXIMUM_STACK_DEPTH) return {};
    std::array<std::uint64_t, ASYNCDUMP_MAXIMUM_STACK_DEPTH> words{};
    const auto wanted = std::as_writable_bytes(std::span(words)).first(depth * sizeof(std::uint64_t));
    if (!memory.read_all(address + header_.origin_header_size, wanted)) return {};
    std::vector<RemoteAddress> addresses;
    for (std::uint32_t i = 0; i < depth && words[i] != 0; ++i) addresses.emplace_back(words[i]);
    return addresses;
}

std::optional<RegistryAnnotation> AgentRegistry::annotation(const Memory& memory, std::uint32_t id) const {
    if (id == 0) return std::nullopt;
    const auto base = chunk(memory, header_.annotation_chunks, id >> header_.annotation_chunk_shift);
    if (!base) return std::nullopt;
    const std::uint64_t place = id & ((std::uint64_t{1} << header_.annotation_chunk_shift) - 1);
    const auto raw = layout_.annotation(
        read_structure(memory, *base + place * header_.annotation_size, header_.annotation_size));
    if (raw.kind != ASYNCDUMP_ANNOTATION_TASK && raw.kind != ASYNCDUMP_ANNOTATION_SCOPE) return std::nullopt;
    return RegistryAnnotation{raw.kind == ASYNCDUMP_ANNOTATION_TASK, raw.parent, RemoteAddress(raw.subject),
                              text_of(raw.name), text_of(raw.label)};
}

std::vector<RegistryAnnotation> AgentRegistry::annotations(const Memory& memory,
                                                           const RegisteredBlock& block) const {
    constexpr std::size_t longest_chain = ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN + ASYNCDUMP_MAXIMUM_SCOPE_DEPTH;
    std::vector<RegistryAnnotation> found;
    std::uint32_t id = block.annotation;
    while (id != 0 && found.size() < longest_chain) {
        auto next = annotation(memory, id);
        if (!next) break;
        id = next->parent;
        found.push_back(std::move(*next));
    }
    return found;
}

}  // namespace asyncdump
