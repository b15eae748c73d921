#include "modules/unwind_table.h"

#include <dwarf.h>
#include <gelf.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

namespace asyncdump {
namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::size_t maximal_section_bytes = std::size_t{1} << 30;
constexpr unsigned char elf_identification[EI_NIDENT] = {ELFMAG0,    ELFMAG1,     ELFMAG2,   ELFMAG3,
                                                         ELFCLASS64, ELFDATA2LSB, EV_CURRENT};

template <class T>
std::optional<T> value_at(std::span<const std::byte> bytes, std::size_t offset) {
    T value;
    if (offset > bytes.size() || bytes.size() - offset < sizeof value) return std::nullopt;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

std::vector<std::byte> read_section(const Module& module, AddressRange section) {
    std::vector<std::byte> bytes(std::min<std::size_t>(section.size(), maximal_section_bytes));
    bytes.resize(module.read_file_bytes(section.begin, bytes));
    return bytes;
}

/// The encoding of addresses in a CIE's entries ('R' of its augmentation).
std::uint8_t address_encoding(const Dwarf_CIE& cie) {
    if (!cie.augmentation || cie.augmentation[0] != 'z') return DW_EH_PE_absptr;
    const std::uint8_t* data = cie.augmentation_data;
    const std::uint8_t* const end = data + cie.augmentation_data_size;
    for (const char* letter = cie.augmentation + 1; *letter && data < end; ++letter) {
        if (*letter == 'R') return *data;
        if (*letter == 'L') ++data;
        if (*letter == 'P') {
            const auto format = *data++ & 0x0f;
            const bool is_narrow = format == DW_EH_PE_udata4 || format == DW_EH_PE_sdata4;
            if (format == DW_EH_PE_udata2 || format == DW_EH_PE_sdata2)
                data += 2;
            else
                data += is_narrow ? 4 : 8;
        }
    }
    return DW_EH_PE_absptr;
}

/// The first address of an entry. `position` is that of the field in the target, `offset` in `bytes`.
std::optional<std::uint64_t> decode_address(std::span<const std::byte> bytes, std::size_t offset,
                                            std::uint64_t position, std::uint8_t encoding,
                                            std::uint64_t bias) {
    std::uint64_t value = 0;
    switch (encoding & 0x0f) {
        case DW_EH_PE_absptr:
        case DW_EH_PE_udata8:
        case DW_EH_PE_sdata8: {
            const auto wide = value_at<std::uint64_t>(bytes, offset);
            if (!wide) return std::nullopt;
            value = *wide;
            break;
        }
        case DW_EH_PE_udata4: {
            const auto narrow = value_at<std::uint32_t>(bytes, offset);
            if (!narrow) return std::nullopt;
            value = *narrow;
            break;
        }
        case DW_EH_PE_sdata4: {
            const auto narrow = value_at<std::int32_t>(bytes, offset);
            if (!narrow) return std::nullopt;
            value = static_cast<std::uint64_t>(std::int64_t{*narrow});
            break;
        }
        default:
            return std::nullopt;
    }
    switch (encoding & 0xf0) {
        case DW_EH_PE_absptr:
            return value + bias;
        case DW_EH_PE_pcrel:
            return value + position;
        default:
            return std::nullopt;
    }
}

std::optional<std::int32_t> offset_from(std::uint64_t base, std::uint64_t address) {
    const auto difference = static_cast<std::int64_t>(address - base);
    if (difference < std::numeric_limits<std::int32_t>::min() ||
        difference > std::numeric_limits<std::int32_t>::max())
        return std::nullopt;
    return static_cast<std::int32_t>(difference);
}

/// Visits (offset of the entry in its section, offset of its first field, offset and content of its CIE).
template <class Visit>
void for_each_frame_description(std::span<const std::byte> bytes, bool is_eh_frame, const Visit& visit) {
    Elf_Data data{};
    data.d_buf = const_cast<std::byte*>(bytes.data());  // libdw only reads
    data.d_size = bytes.size();
    data.d_type = ELF_T_BYTE;
    data.d_version = EV_CURRENT;
    std::map<Dwarf_Off, Dwarf_CIE> cies;
    Dwarf_Off offset = 0, next = 0;
    for (Dwarf_CFI_Entry entry;; offset = next) {
        const int status = dwarf_next_cfi(elf_identification, &data, is_eh_frame, offset, &next, &entry);
        const bool makes_progress = next > offset && next <= bytes.size();
        if (status == 1 || !makes_progress) return;
        if (status != 0) continue;
        if (dwarf_cfi_cie_p(&entry)) {
            cies.emplace(offset, entry.cie);
            continue;
        }
        const auto cie = cies.find(entry.fde.CIE_pointer);
        if (cie == cies.end()) continue;
        const auto first_field =
            static_cast<std::size_t>(reinterpret_cast<const std::byte*>(entry.fde.start) - bytes.data());
        visit(offset, first_field, cie->first, cie->second);
    }
}

std::vector<std::byte> debug_section(Dwarf* dwarf, std::string_view wanted) {
    Elf* elf = dwarf_getelf(dwarf);
    std::size_t names = 0;
    if (!elf || elf_getshdrstrndx(elf, &names) != 0) return {};
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section));) {
        GElf_Shdr header;
        if (!gelf_getshdr(section, &header) || header.sh_type == SHT_NOBITS) continue;
        const char* name = elf_strptr(elf, names, header.sh_name);
        if (!name || wanted != name) continue;
        if ((header.sh_flags & SHF_COMPRESSED) && elf_compress(section, 0, 0) < 0) return {};
        const Elf_Data* data = elf_rawdata(section, nullptr);
        if (!data || !data->d_buf || data->d_size > maximal_section_bytes) return {};
        const auto* begin = static_cast<const std::byte*>(data->d_buf);
        return {begin, begin + data->d_size};
    }
    return {};
}

}  // namespace

const std::optional<UnwindTable>& UnwindTables::of_eh_frame(const Module& module) {
    const auto [known, is_new] = eh_frame_tables_.try_emplace(&module);
    if (is_new) {
        known->second = linker_table(module);
        if (!known->second) known->second = table_of_eh_frame(module);
    }
    return known->second;
}

const std::optional<UnwindTable>& UnwindTables::of_debug_frame(const Module& module) {
    const auto [known, is_new] = debug_frame_tables_.try_emplace(&module);
    if (is_new) known->second = table_of_debug_frame(module);
    return known->second;
}

std::size_t UnwindTables::read(std::uint64_t address, std::span<std::byte> destination) const {
    auto after = made_.upper_bound(address);
    if (after == made_.begin()) return 0;
    const auto& [begin, bytes] = *--after;
    if (address - begin >= bytes.size()) return 0;
    const auto count =
        std::min(destination.size(), static_cast<std::size_t>(bytes.size() - (address - begin)));
    std::memcpy(destination.data(), bytes.data() + (address - begin), count);
    return count;
}

std::optional<UnwindTable> UnwindTables::linker_table(const Module& module) {
    const auto section = module.section(".eh_frame_hdr");
    if (!section) return std::nullopt;
    // LSB core specification, "The .eh_frame_hdr section": all linkers write these encodings, libunwind wants
    // them.
    struct Header {
        std::uint8_t version, eh_frame_encoding, count_encoding, table_encoding;
        std::int32_t eh_frame;
        std::uint32_t count;
    } header;
    if (module.read_file_bytes(section->begin, std::as_writable_bytes(std::span(&header, 1))) !=
        sizeof header)
        return std::nullopt;
    const bool is_searchable = header.version == 1 &&
                               header.eh_frame_encoding == (DW_EH_PE_pcrel | DW_EH_PE_sdata4) &&
                               header.count_encoding == DW_EH_PE_udata4 &&
                               header.table_encoding == (DW_EH_PE_datarel | DW_EH_PE_sdata4);
    const auto room = section->size() < sizeof header ? 0 : (section->size() - sizeof header) / sizeof(Pair);
    if (!is_searchable || header.count == 0 || header.count > room) return std::nullopt;
    return UnwindTable{section->begin.value(), section->begin.value() + sizeof header, header.count};
}

std::optional<UnwindTable> UnwindTables::table_of_eh_frame(const Module& module) {
    const auto section = module.section(".eh_frame");
    if (!section) return std::nullopt;
    const auto bytes = read_section(module, *section);
    const auto base = section->begin.value();
    std::vector<Pair> pairs;
    for_each_frame_description(
        bytes, true, [&](Dwarf_Off entry, std::size_t field, Dwarf_Off, const Dwarf_CIE& cie) {
            const auto function =
                decode_address(bytes, field, base + field, address_encoding(cie), module.bias());
            const auto function_offset = function ? offset_from(base, *function) : std::nullopt;
            const auto entry_offset = offset_from(base, base + entry);
            if (function_offset && entry_offset) pairs.push_back({*function_offset, *entry_offset});
        });
    if (pairs.empty()) return std::nullopt;
    return publish(base, std::move(pairs));
}

/// .debug_frame is not loaded and differs from .eh_frame in how an entry names its CIE (by offset in the
/// section instead of by distance) and in its addresses (absolute, without bias). It is rewritten as an
/// .eh_frame would be.
std::optional<UnwindTable> UnwindTables::table_of_debug_frame(const Module& module) {
    Dwarf* dwarf = module.dwarf();
    if (!dwarf) return std::nullopt;
    auto bytes = debug_section(dwarf, ".debug_frame");
    const auto place = bytes.empty() ? std::nullopt : unused_addresses_near(module, bytes.size());
    if (!place) return std::nullopt;
    const auto original = bytes;
    const auto base = module.range().begin.value();
    std::vector<Pair> pairs;
    for_each_frame_description(
        original, false, [&](Dwarf_Off entry, std::size_t field, Dwarf_Off cie_offset, const Dwarf_CIE& cie) {
            // 64-bit DWARF has wider headers; no compiler writes it for x86-64 unless told to.
            const bool is_narrow = value_at<std::uint32_t>(original, entry) != 0xffffffffU;
            const auto address = value_at<std::uint64_t>(original, field);
            if (!is_narrow || !address || address_encoding(cie) != DW_EH_PE_absptr) return;
            const std::uint64_t function = *address + module.dwarf_bias();
            const auto distance = static_cast<std::uint32_t>(entry + 4 - cie_offset);
            const std::uint32_t eh_frame_cie = 0;
            std::memcpy(bytes.data() + entry + 4, &distance, sizeof distance);
            std::memcpy(bytes.data() + field, &function, sizeof function);
            std::memcpy(bytes.data() + cie_offset + 4, &eh_frame_cie, sizeof eh_frame_cie);
            const auto function_offset = offset_from(base, function);
            const auto entry_offset = offset_from(base, *place + entry);
            if (function_offset && entry_offset) pairs.push_back({*function_offset, *entry_offset});
        });
    if (pairs.empty()) return std::nullopt;
    made_.emplace(*place, std::move(bytes));
    return publish(base, std::move(pairs));
}

/// Gives the pairs an address at which libunwind can read them.
UnwindTable UnwindTables::publish(std::uint64_t base, std::vector<Pair> pairs) {
    std::sort(pairs.begin(), pairs.end(),
              [](const Pair& a, const Pair& b) { return a.function < b.function; });
    const auto bytes = std::as_bytes(std::span(pairs));
    const UnwindTable table{base, next_table_address_, pairs.size()};
    made_.emplace(next_table_address_, std::vector<std::byte>(bytes.begin(), bytes.end()));
    next_table_address_ += (bytes.size() + 0xffff) & ~std::size_t{0xffff};
    return table;
}

/// Whether no module and none of the bytes that unwinding could read lie there.
bool UnwindTables::is_unused(std::uint64_t begin, std::uint64_t size) const {
    const std::uint64_t end = begin + size;
    for (const auto& module : modules_.modules())
        if (module->range().begin.value() < end && begin < module->range().end.value()) return false;
    for (const auto& [address, bytes] : made_)
        if (address < end && begin < address + bytes.size()) return false;
    for (std::uint64_t page = begin & ~(page_size - 1); page < end; page += page_size)
        if (memory_.read_value<std::uint8_t>(RemoteAddress(page))) return false;
    return true;
}

/// Within reach of 32-bit offsets from the module.
std::optional<std::uint64_t> UnwindTables::unused_addresses_near(const Module& module,
                                                                 std::uint64_t size) const {
    constexpr std::uint64_t step = 0x0800'0000, reach = 0x7000'0000;
    if (size > step) return std::nullopt;
    for (std::uint64_t distance = reach; distance >= step; distance -= step) {
        const std::uint64_t begin = module.range().begin.value() + distance;
        if (begin > distance && is_unused(begin, size)) return begin;
    }
    return std::nullopt;
}

}  // namespace asyncdump
