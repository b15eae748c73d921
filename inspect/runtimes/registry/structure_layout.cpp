#include "runtimes/registry/structure_layout.h"

#include <dwarf.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "modules/dwarf_types.h"

namespace asyncdump {
namespace {

/// The agent has some thousand entries at the top of its units; a hostile file may have any number.
constexpr std::size_t most_entries = 100'000;

#define ASYNCDUMP_MEMBER(structure, name)                                \
    StructureLayout::Member {                                            \
#name, offsetof(structure, name), sizeof(structure::name), false \
    }
#define ASYNCDUMP_PART(name)                                      \
    StructureLayout::Member {                                     \
#name, offsetof(Header, name), sizeof(Header::name), true \
    }

using Header = asyncdump_registry_header;
constexpr StructureLayout::Member header_members[] = {
    ASYNCDUMP_MEMBER(Header, magic),
    ASYNCDUMP_MEMBER(Header, version_major),
    ASYNCDUMP_MEMBER(Header, version_minor),
    ASYNCDUMP_MEMBER(Header, header_size),
    ASYNCDUMP_MEMBER(Header, annotation_functions),
    ASYNCDUMP_MEMBER(Header, state),
    ASYNCDUMP_MEMBER(Header, flags),
    ASYNCDUMP_MEMBER(Header, process_id),
    ASYNCDUMP_MEMBER(Header, stack_depth),
    ASYNCDUMP_MEMBER(Header, started),
    ASYNCDUMP_MEMBER(Header, clock_id),
    ASYNCDUMP_MEMBER(Header, clock_unit_ns),
    ASYNCDUMP_MEMBER(Header, region_shift),
    ASYNCDUMP_MEMBER(Header, leaf_shift),
    ASYNCDUMP_MEMBER(Header, granule_shift),
    ASYNCDUMP_MEMBER(Header, address_bits),
    ASYNCDUMP_MEMBER(Header, record_offset),
    ASYNCDUMP_MEMBER(Header, record_size),
    ASYNCDUMP_MEMBER(Header, minimum_block),
    ASYNCDUMP_PART(region_list),
    ASYNCDUMP_PART(region_table),
    ASYNCDUMP_PART(sites),
    ASYNCDUMP_PART(origin_chunks),
    ASYNCDUMP_MEMBER(Header, origin_chunk_shift),
    ASYNCDUMP_MEMBER(Header, origin_unit),
    ASYNCDUMP_MEMBER(Header, origin_header_size),
    ASYNCDUMP_MEMBER(Header, annotation_chunk_shift),
    ASYNCDUMP_PART(annotation_chunks),
    ASYNCDUMP_MEMBER(Header, annotation_size),
    ASYNCDUMP_PART(counters),
    ASYNCDUMP_PART(hooks),
    ASYNCDUMP_MEMBER(Header, adopt),
    ASYNCDUMP_MEMBER(Header, announce_patched),
};
constexpr StructureLayout::Member part_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_part, address),
    ASYNCDUMP_MEMBER(asyncdump_part, count),
    ASYNCDUMP_MEMBER(asyncdump_part, entry_size),
};
constexpr StructureLayout::Member counters_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_counters, dropped_no_memory),
    ASYNCDUMP_MEMBER(asyncdump_counters, dropped_outside),
    ASYNCDUMP_MEMBER(asyncdump_counters, dropped_collisions),
    ASYNCDUMP_MEMBER(asyncdump_counters, replaced),
    ASYNCDUMP_MEMBER(asyncdump_counters, sites_full),
    ASYNCDUMP_MEMBER(asyncdump_counters, origins_full),
    ASYNCDUMP_MEMBER(asyncdump_counters, annotations_full),
    ASYNCDUMP_MEMBER(asyncdump_counters, late_verdicts),
    ASYNCDUMP_MEMBER(asyncdump_counters, misnested_scopes),
};
constexpr StructureLayout::Member record_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_record, identity),
    ASYNCDUMP_MEMBER(asyncdump_record, creation),
};
constexpr StructureLayout::Member origin_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_origin, depth),
};
constexpr StructureLayout::Member annotation_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_annotation, kind),    ASYNCDUMP_MEMBER(asyncdump_annotation, parent),
    ASYNCDUMP_MEMBER(asyncdump_annotation, subject), ASYNCDUMP_MEMBER(asyncdump_annotation, name),
    ASYNCDUMP_MEMBER(asyncdump_annotation, label),
};
constexpr StructureLayout::Member hook_members[] = {
    ASYNCDUMP_MEMBER(asyncdump_hook, name),
    ASYNCDUMP_MEMBER(asyncdump_hook, address),
    ASYNCDUMP_MEMBER(asyncdump_hook, phase),
    ASYNCDUMP_MEMBER(asyncdump_hook, needs),
};

#undef ASYNCDUMP_MEMBER
#undef ASYNCDUMP_PART

template <class Structure>
Structure converted(const StructureLayout& layout, std::span<const std::byte> bytes,
                    const StructureLayout* part = nullptr) {
    Structure own{};
    layout.convert(bytes, std::as_writable_bytes(std::span(&own, 1)), part);
    return own;
}

}  // namespace

StructureLayout::StructureLayout(std::span<const Member> members) : members_(members) {
    places_.reserve(members.size());
    for (const Member& member : members) places_.push_back({member.offset, member.size});
}

void StructureLayout::place_as(Dwarf_Die type) {
    std::vector<Place> places(members_.size());
    for_each_member(type, [&](const DwarfMember& found) {
        const auto known = std::ranges::find(members_, found.name, &Member::name);
        if (known == members_.end() || found.bit_size) return true;
        places[static_cast<std::size_t>(known - members_.begin())] = {found.offset,
                                                                      type_size(found.type).value_or(0)};
        return true;
    });
    places_ = std::move(places);
}

void StructureLayout::convert(std::span<const std::byte> bytes, std::span<std::byte> own,
                              const StructureLayout* part) const {
    for (std::size_t i = 0; i < members_.size(); ++i) {
        const Member& member = members_[i];
        const Place& place = places_[i];
        if (place.offset >= bytes.size()) continue;
        const auto there =
            bytes.subspan(place.offset).first(std::min<std::size_t>(place.size, bytes.size() - place.offset));
        const auto here = own.subspan(member.offset, member.size);
        if (member.is_part) {
            if (part != nullptr) part->convert(there, here, nullptr);
        } else if (there.size() == place.size) {
            // Little-endian: a smaller or larger number of the agent's keeps its value.
            std::memcpy(here.data(), there.data(), std::min(here.size(), there.size()));
        }
    }
}

RegistryLayout::RegistryLayout()
    : part_(part_members),
      header_(header_members),
      counters_(counters_members),
      record_(record_members),
      origin_(origin_members),
      annotation_(annotation_members),
      hook_(hook_members) {}

bool RegistryLayout::place_by_debug_information(const Module& agent) {
    Dwarf* const dwarf = agent.dwarf();
    if (dwarf == nullptr) return false;
    const std::pair<std::string_view, StructureLayout*> structures[] = {
        {"asyncdump_part", &part_},         {"asyncdump_registry_header", &header_},
        {"asyncdump_counters", &counters_}, {"asyncdump_record", &record_},
        {"asyncdump_origin", &origin_},     {"asyncdump_annotation", &annotation_},
        {"asyncdump_hook", &hook_},
    };
    std::optional<Dwarf_Die> found[std::size(structures)];
    std::size_t entries = 0;
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    while (dwarf_get_units(dwarf, unit, &unit, nullptr, nullptr, &die, nullptr) == 0) {
        Dwarf_Die child;
        if (dwarf_child(&die, &child) != 0) continue;
        do {
            if (++entries > most_entries) return false;
            if (dwarf_tag(&child) != DW_TAG_structure_type || !type_size(child)) continue;
            const char* const name = dwarf_diename(&child);
            for (std::size_t i = 0; name != nullptr && i < std::size(structures); ++i)
                if (structures[i].first == name && !found[i]) found[i] = child;
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    // All or none: half of another version's layout would be neither.
    if (!std::ranges::all_of(found, [](const auto& type) { return type.has_value(); })) return false;
    for (std::size_t i = 0; i < std::size(structures); ++i) structures[i].second->place_as(*found[i]);
    return true;
}

asyncdump_registry_header RegistryLayout::header(std::span<const std::byte> bytes) const {
    return converted<asyncdump_registry_header>(header_, bytes, &part_);
}
asyncdump_counters RegistryLayout::counters(std::span<const std::byte> bytes) const {
    return converted<asyncdump_counters>(counters_, bytes);
}
asyncdump_record RegistryLayout::record(std::span<const std::byte> bytes) const {
    return converted<asyncdump_record>(record_, bytes);
}
asyncdump_origin RegistryLayout::origin(std::span<const std::byte> bytes) const {
    return converted<asyncdump_origin>(origin_, bytes);
}
asyncdump_annotation RegistryLayout::annotation(std::span<const std::byte> bytes) const {
    return converted<asyncdump_annotation>(annotation_, bytes);
}
asyncdump_hook RegistryLayout::hook(std::span<const std::byte> bytes) const {
    return converted<asyncdump_hook>(hook_, bytes);
}

}  // namespace asyncdump
