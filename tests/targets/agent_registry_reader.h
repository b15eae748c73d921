// A plain reader of the agent's registry, for the agent's own tests: in the target itself, in another
// process, or in bytes that a test made up. It follows the rules of agent/registry_layout.h and trusts
// nothing.
#pragma once

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/registry_layout.h"

namespace agent_test {

using ReadMemory = std::function<bool(std::uint64_t address, void* destination, std::size_t bytes)>;

inline ReadMemory own_memory() {
    return [](std::uint64_t address, void* destination, std::size_t bytes) {
        std::memcpy(destination, reinterpret_cast<const void*>(address), bytes);
        return true;
    };
}

inline ReadMemory memory_of(pid_t process) {
    return [process](std::uint64_t address, void* destination, std::size_t bytes) {
        iovec local{destination, bytes};
        iovec remote{reinterpret_cast<void*>(address), bytes};
        return process_vm_readv(process, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
    };
}

struct Entry {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::uint8_t flags = 0;
    std::uint32_t thread = 0;
    std::uint32_t origin = 0;
    std::uint64_t time = 0;
    std::uint32_t annotation = 0;
};

struct Annotation {
    std::uint32_t kind = 0;
    std::uint32_t parent = 0;
    std::uint64_t subject = 0;
    std::string name;
    std::string label;
};

class Registry {
  public:
    static std::optional<Registry> open(ReadMemory read, std::uint64_t address) {
        Registry registry;
        registry.read_ = std::move(read);
        asyncdump_registry_header start{};
        constexpr std::size_t fixed = offsetof(asyncdump_registry_header, annotation_functions);
        if (!registry.read_(address, &start, fixed)) return std::nullopt;
        if (start.magic != ASYNCDUMP_REGISTRY_MAGIC || start.version_major != ASYNCDUMP_VERSION_MAJOR)
            return std::nullopt;
        if (start.header_size < fixed || start.header_size > 1 << 16) return std::nullopt;
        if (!registry.read_(address, &registry.header_,
                            std::min<std::size_t>(start.header_size, sizeof registry.header_)))
            return std::nullopt;
        const auto& header = registry.header_;
        if (header.state == ASYNCDUMP_STATE_STARTING) return registry;
        const bool sound =
            header.granule_shift < header.leaf_shift && header.leaf_shift < header.region_shift &&
            header.region_shift < header.address_bits && header.address_bits <= 57 &&
            header.leaf_shift - header.granule_shift <= 20 && header.region_shift - header.leaf_shift <= 20 &&
            header.record_size >= sizeof(std::uint64_t) && header.record_size <= 4096 &&
            header.record_offset >= registry.granules() && header.annotation_size <= 4096;
        if (!sound) return std::nullopt;
        return registry;
    }

    const asyncdump_registry_header& header() const { return header_; }

    asyncdump_counters counters() const {
        asyncdump_counters counters{};
        read_(header_.counters.address, &counters,
              std::min<std::size_t>(header_.counters.entry_size, sizeof counters));
        return counters;
    }

    bool incomplete() const {
        const asyncdump_counters present = counters();
        return asyncdump_is_incomplete(&header_, &present) != 0;
    }

    std::vector<Entry> entries() const {
        std::vector<Entry> found;
        for (const std::uint64_t region : regions()) {
            std::uint64_t table = 0;
            if (!read_(header_.region_table.address + region * header_.region_table.entry_size, &table, 8) ||
                table == 0)
                continue;
            std::vector<std::uint64_t> leaves(std::size_t{1} << (header_.region_shift - header_.leaf_shift));
            if (!read_(table, leaves.data(), leaves.size() * 8)) continue;
            for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf)
                if (leaves[leaf] != 0) add_leaf(region, leaf, leaves[leaf], found);
        }
        return found;
    }

    std::vector<std::uint64_t> stack(std::uint32_t id) const {
        const std::uint64_t chunk = chunk_of(header_.origin_chunks, id >> header_.origin_chunk_shift);
        if (id == 0 || chunk == 0) return {};
        const std::uint64_t place =
            chunk + (id & ((1u << header_.origin_chunk_shift) - 1)) * std::uint64_t{header_.origin_unit};
        asyncdump_origin origin{};
        if (!read_(place, &origin, std::min<std::size_t>(header_.origin_header_size, sizeof origin)))
            return {};
        if (origin.depth > ASYNCDUMP_MAXIMUM_STACK_DEPTH) return {};
        std::vector<std::uint64_t> addresses(origin.depth);
        if (!read_(place + header_.origin_header_size, addresses.data(), addresses.size() * 8)) return {};
        return addresses;
    }

    std::optional<Annotation> annotation(std::uint32_t id) const {
        const std::uint64_t chunk = chunk_of(header_.annotation_chunks, id >> header_.annotation_chunk_shift);
        if (id == 0 || chunk == 0) return std::nullopt;
        asyncdump_annotation raw{};
        if (!read_(chunk + (id & ((1u << header_.annotation_chunk_shift) - 1)) *
                               std::uint64_t{header_.annotation_size},
                   &raw, std::min<std::size_t>(header_.annotation_size, sizeof raw)))
            return std::nullopt;
        const auto text = [](const char* field) {
            return std::string(field, strnlen(field, ASYNCDUMP_NAME_BYTES));
        };
        return Annotation{raw.kind, raw.parent, raw.subject, text(raw.name), text(raw.label)};
    }

    /// All annotations of a block: its tasks, then its scopes from the inside out.
    std::vector<Annotation> annotations(const Entry& entry) const {
        std::vector<Annotation> found;
        std::uint32_t id = entry.annotation;
        while (id != 0 && found.size() < ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN + ASYNCDUMP_MAXIMUM_SCOPE_DEPTH) {
            const auto next = annotation(id);
            if (!next) break;
            found.push_back(*next);
            id = next->parent;
        }
        return found;
    }

    std::vector<asyncdump_site> sites() const {
        std::vector<asyncdump_site> found;
        const auto& part = header_.sites;
        if (part.count > 1 << 24 || part.entry_size < sizeof(asyncdump_site)) return found;
        for (std::uint64_t i = 0; i < part.count; ++i) {
            asyncdump_site site{};
            if (!read_(part.address + i * part.entry_size, &site, sizeof site)) break;
            if (site.key != 0) found.push_back(site);
        }
        return found;
    }

    /// Allocates nothing, so that a target may ask for itself whether a block is gone.
    std::optional<Entry> at(std::uint64_t address) const {
        std::uint64_t table = 0;
        std::uint64_t leaf = 0;
        const std::uint64_t region = address >> header_.region_shift;
        const std::uint64_t leaf_index =
            (address >> header_.leaf_shift) &
            ((std::uint64_t{1} << (header_.region_shift - header_.leaf_shift)) - 1);
        const std::uint64_t granule = (address >> header_.granule_shift) & (granules() - 1);
        if (region >= header_.region_table.count ||
            !read_(header_.region_table.address + region * header_.region_table.entry_size, &table, 8) ||
            table == 0 || !read_(table + leaf_index * 8, &leaf, 8) || leaf == 0)
            return std::nullopt;
        std::uint8_t flags = 0;
        if (!read_(leaf + granule, &flags, 1) || !asyncdump_is_live(flags)) return std::nullopt;
        const auto entry = entry_of(region, leaf_index, leaf, granule, flags);
        return entry && entry->address == address ? entry : std::nullopt;
    }

  private:
    std::size_t granules() const { return std::size_t{1} << (header_.leaf_shift - header_.granule_shift); }

    std::set<std::uint64_t> regions() const {
        std::set<std::uint64_t> found;
        std::uint32_t count = 0;
        const std::uint64_t list = header_.region_list.address;
        if (!read_(list, &count, sizeof count) || count > header_.region_table.count) return found;
        std::vector<std::uint32_t> numbers(count);
        if (!read_(list + offsetof(asyncdump_region_list, numbers_plus_one), numbers.data(), count * 4))
            return found;
        for (const std::uint32_t number : numbers)
            if (number != 0 && number <= header_.region_table.count) found.insert(number - 1);
        return found;
    }

    void add_leaf(std::uint64_t region, std::uint64_t leaf, std::uint64_t address,
                  std::vector<Entry>& found) const {
        std::vector<std::uint8_t> flags(granules());
        if (!read_(address, flags.data(), flags.size())) return;
        for (std::size_t granule = 0; granule < flags.size(); ++granule) {
            if (!asyncdump_is_live(flags[granule])) continue;
            if (const auto entry = entry_of(region, leaf, address, granule, flags[granule]))
                found.push_back(*entry);
        }
    }

    std::optional<Entry> entry_of(std::uint64_t region, std::uint64_t leaf, std::uint64_t leaf_address,
                                  std::uint64_t granule, std::uint8_t flags) const {
        asyncdump_record record{};
        if (!read_(leaf_address + header_.record_offset + granule * header_.record_size, &record,
                   std::min<std::size_t>(header_.record_size, sizeof record)))
            return std::nullopt;
        Entry entry;
        entry.address = asyncdump_block_address(&header_, region, leaf, granule, flags);
        entry.size = asyncdump_size(record.identity);
        entry.flags = flags;
        entry.thread = asyncdump_thread(record.identity);
        entry.origin = asyncdump_origin_id(record.identity);
        entry.time = asyncdump_time(record.creation);
        entry.annotation = asyncdump_is_annotated(flags) ? asyncdump_annotation_id(record.creation) : 0;
        return entry;
    }

    std::uint64_t chunk_of(const asyncdump_part& directory, std::uint64_t index) const {
        std::uint64_t chunk = 0;
        if (index >= directory.count) return 0;
        read_(directory.address + index * directory.entry_size, &chunk, sizeof chunk);
        return chunk;
    }

    ReadMemory read_;
    asyncdump_registry_header header_{};
};

}  // namespace agent_test
