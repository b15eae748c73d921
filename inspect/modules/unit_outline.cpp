#include "modules/unit_outline.h"

#include <dwarf.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "modules/cache_bytes.h"
#include "modules/dwarf_bytes.h"

namespace asyncdump {
namespace {

constexpr std::size_t deepest_nesting = 1024;
constexpr std::size_t most_abbreviations = 1 << 20;
constexpr std::size_t most_attributes = 512;      ///< of one abbreviation
constexpr std::uint64_t densest_codes = 1 << 16;  ///< compilers number abbreviations from 1

bool is_scope(unsigned tag) {
    return tag == DW_TAG_namespace || tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

/// Below these is neither a scope nor code.
bool is_plain(unsigned tag) {
    return tag == DW_TAG_enumeration_type || tag == DW_TAG_array_type || tag == DW_TAG_subroutine_type ||
           tag == DW_TAG_call_site || tag == DW_TAG_GNU_call_site ||
           tag == DW_TAG_GNU_template_parameter_pack || tag == DW_TAG_GNU_formal_parameter_pack;
}

/// How the bytes of an attribute are passed over: a number of them, or one of these.
enum Skip : std::uint8_t { leb128 = 64, string, block1, block2, block4, block_leb128, unknown };

struct UnitFormat {
    std::uint8_t address_size = 0, offset_size = 0;
    Dwarf_Half version = 0;
};

std::uint8_t skip_of(unsigned form, const UnitFormat& unit) {
    switch (form) {
        case DW_FORM_flag_present:
        case DW_FORM_implicit_const:
            return 0;
        case DW_FORM_data1:
        case DW_FORM_ref1:
        case DW_FORM_flag:
        case DW_FORM_strx1:
        case DW_FORM_addrx1:
            return 1;
        case DW_FORM_data2:
        case DW_FORM_ref2:
        case DW_FORM_strx2:
        case DW_FORM_addrx2:
            return 2;
        case DW_FORM_strx3:
        case DW_FORM_addrx3:
            return 3;
        case DW_FORM_data4:
        case DW_FORM_ref4:
        case DW_FORM_strx4:
        case DW_FORM_addrx4:
        case DW_FORM_ref_sup4:
            return 4;
        case DW_FORM_data8:
        case DW_FORM_ref8:
        case DW_FORM_ref_sig8:
        case DW_FORM_ref_sup8:
            return 8;
        case DW_FORM_data16:
            return 16;
        case DW_FORM_addr:
            return unit.address_size;
        case DW_FORM_ref_addr:
            return unit.version < 3 ? unit.address_size : unit.offset_size;
        case DW_FORM_strp:
        case DW_FORM_line_strp:
        case DW_FORM_sec_offset:
        case DW_FORM_strp_sup:
        case DW_FORM_GNU_ref_alt:
        case DW_FORM_GNU_strp_alt:
            return unit.offset_size;
        case DW_FORM_udata:
        case DW_FORM_sdata:
        case DW_FORM_ref_udata:
        case DW_FORM_strx:
        case DW_FORM_addrx:
        case DW_FORM_loclistx:
        case DW_FORM_rnglistx:
        case DW_FORM_GNU_addr_index:
        case DW_FORM_GNU_str_index:
            return leb128;
        case DW_FORM_string:
            return string;
        case DW_FORM_block1:
            return block1;
        case DW_FORM_block2:
            return block2;
        case DW_FORM_block4:
            return block4;
        case DW_FORM_block:
        case DW_FORM_exprloc:
            return block_leb128;
        default:
            return unknown;
    }
}

void pass_over(DwarfBytes& bytes, std::uint8_t skip) {
    switch (skip) {
        case leb128:
            bytes.leb128();
            break;
        case string:
            bytes.string();
            break;
        case block1:
            bytes.skip(bytes.fixed(1));
            break;
        case block2:
            bytes.skip(bytes.fixed(2));
            break;
        case block4:
            bytes.skip(bytes.fixed(4));
            break;
        case block_leb128:
            bytes.skip(bytes.leb128());
            break;
        default:
            bytes.skip(skip);
    }
}

struct Abbreviation {
    std::uint64_t code = 0;  ///< 0: there is none
    std::uint16_t tag = 0;
    bool has_children = false, has_code = false, is_declaration = false;
    bool is_unknown = false;           ///< has a form whose size we do not know
    std::uint8_t sibling_width = 0;    ///< of a reference within the unit; 0: there is none
    std::uint16_t before_sibling = 0;  ///< how many of the skips come before it
    /// Of the attributes in order, neighbours of fixed size in one where they fit.
    std::vector<std::uint8_t> skips;
};

class Abbreviations {
  public:
    Abbreviations(Dwarf_Die root, const UnitFormat& unit) {
        Dwarf_Off offset = 0;
        for (std::size_t i = 0; i < most_abbreviations; ++i) {
            std::size_t length = 0;
            Dwarf_Abbrev* const raw = dwarf_getabbrev(&root, offset, &length);
            if (raw == nullptr || raw == DWARF_END_ABBREV) break;
            offset += length;
            add(raw, unit);
        }
        std::ranges::sort(others_, {}, &Abbreviation::code);
    }

    const Abbreviation* find(std::uint64_t code) const {
        if (code < dense_.size()) return dense_[code].code != 0 ? &dense_[code] : nullptr;
        const auto found = std::ranges::lower_bound(others_, code, {}, &Abbreviation::code);
        return found != others_.end() && found->code == code ? &*found : nullptr;
    }

  private:
    void add(Dwarf_Abbrev* raw, const UnitFormat& unit) {
        Abbreviation made;
        made.code = dwarf_getabbrevcode(raw);
        made.tag = static_cast<std::uint16_t>(dwarf_getabbrevtag(raw));
        made.has_children = dwarf_abbrevhaschildren(raw) != 0;
        bool may_join = false;
        // Not dwarf_getattrcnt: that of elfutils 0.188 counts wrongly where a form is DW_FORM_implicit_const.
        for (std::size_t i = 0; i < most_attributes; ++i) {
            unsigned name = 0, form = 0;
            Dwarf_Sword data = 0;
            if (dwarf_getabbrevattr_data(raw, i, &name, &form, &data, nullptr) != 0) break;
            const std::uint8_t skip = skip_of(form, unit);
            made.is_unknown |= skip == unknown;
            made.has_code |= name == DW_AT_low_pc || name == DW_AT_ranges;
            made.is_declaration |= name == DW_AT_declaration;
            if (name == DW_AT_sibling && (form == DW_FORM_ref4 || form == DW_FORM_ref2 ||
                                          form == DW_FORM_ref1 || form == DW_FORM_ref8)) {
                made.sibling_width = skip;
                made.before_sibling = static_cast<std::uint16_t>(made.skips.size());
                may_join = false;
            }
            if (may_join && skip < leb128 && made.skips.back() + skip < leb128)
                made.skips.back() = static_cast<std::uint8_t>(made.skips.back() + skip);
            else
                made.skips.push_back(skip);
            may_join = skip < leb128 && name != DW_AT_sibling;
        }
        if (made.code >= densest_codes) {
            others_.push_back(std::move(made));
            return;
        }
        if (made.code >= dense_.size()) dense_.resize(made.code + 1);
        dense_[made.code] = std::move(made);
    }

    std::vector<Abbreviation> dense_;   ///< by code
    std::vector<Abbreviation> others_;  ///< sorted by code
};

/// The unit's bytes from its root DIE on.
std::span<const unsigned char> bytes_of(Dwarf_Die root) {
    const auto* const begin = static_cast<const unsigned char*>(root.addr);
    const std::uint64_t header = dwarf_cuoffset(&root);
    if (begin == nullptr || header == 0 || header > 64) return {};
    std::uint32_t short_length = 0;
    std::memcpy(&short_length, begin - header, sizeof short_length);
    std::uint64_t total = std::uint64_t{short_length} + 4;
    if (short_length == 0xFFFFFFFF) {
        std::memcpy(&total, begin - header + 4, sizeof total);
        total += 12;
    }
    // libdw has checked that the unit lies in its section.
    if (total <= header || total - header > UnitOutline::none) return {};
    return {begin, total - header};
}

void add_code(std::vector<UnitOutline::Code>& code, Dwarf_Die subprogram, std::uint64_t place) {
    Dwarf_Addr base = 0, begin = 0, end = 0;
    for (ptrdiff_t offset = 0; (offset = dwarf_ranges(&subprogram, offset, &base, &begin, &end)) > 0;)
        code.push_back({begin, end, place});
}

}  // namespace

UnitOutline UnitOutline::read(Dwarf_Die root) {
    UnitOutline outline;
    UnitFormat format;
    Dwarf_Die unit;
    if (dwarf_diecu(&root, &unit, &format.address_size, &format.offset_size) == nullptr) return outline;
    if (dwarf_cu_info(root.cu, &format.version, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) != 0)
        return outline;
    const Abbreviations abbreviations(root, format);
    const std::uint64_t header = dwarf_cuoffset(&root);
    DwarfBytes bytes(bytes_of(root));
    std::vector<std::uint32_t> open;  // the scopes of the DIEs whose children are being read
    while (!bytes.at_end()) {
        const std::size_t place = bytes.place();
        const std::uint64_t code = bytes.leb128();
        if (code == 0) {
            if (open.empty()) break;
            open.pop_back();
            if (open.empty()) break;
            continue;
        }
        const Abbreviation* const abbreviation = abbreviations.find(code);
        if (abbreviation == nullptr || abbreviation->is_unknown) break;
        const bool is_skipped =
            abbreviation->has_children && abbreviation->sibling_width != 0 && is_plain(abbreviation->tag);
        std::uint64_t sibling = 0;
        for (std::size_t i = 0; i < abbreviation->skips.size(); ++i) {
            if (is_skipped && i == abbreviation->before_sibling)
                sibling = bytes.fixed(abbreviation->sibling_width);
            else
                pass_over(bytes, abbreviation->skips[i]);
        }
        if (bytes.failed()) break;
        std::uint32_t scope = open.empty() ? none : open.back();
        if (is_scope(abbreviation->tag)) {
            outline.scopes.push_back({static_cast<std::uint32_t>(place), scope, abbreviation->tag,
                                      abbreviation->is_declaration ? std::uint16_t{1} : std::uint16_t{0}});
            scope = static_cast<std::uint32_t>(outline.scopes.size() - 1);
        } else if (abbreviation->tag == DW_TAG_subprogram && abbreviation->has_code) {
            add_code(outline.code, die_at(root, place), place);
        }
        if (!abbreviation->has_children) {
            if (open.empty()) break;
            continue;
        }
        if (is_skipped && sibling > header) {
            bytes.go_to(sibling - header);
            continue;
        }
        if (open.size() >= deepest_nesting) break;
        open.push_back(scope);
    }
    return outline;
}

std::vector<std::byte> UnitOutline::to_bytes(const Dwarf_Die& root) const {
    CacheWriter writer;
    writer.number(bytes_of(root).size());
    writer.list(scopes);
    writer.list(code);
    return writer.take();
}

std::optional<UnitOutline> UnitOutline::from_bytes(const Dwarf_Die& root, std::span<const std::byte> bytes) {
    CacheReader reader(bytes);
    UnitOutline outline;
    const std::uint64_t size = bytes_of(root).size();
    if (reader.number() != size) return std::nullopt;
    outline.scopes = reader.list<Scope>();
    outline.code = reader.list<Code>();
    if (!reader.complete()) return std::nullopt;
    for (std::size_t i = 0; i < outline.scopes.size(); ++i) {
        const Scope& scope = outline.scopes[i];
        if (scope.place >= size || (i > 0 && scope.place <= outline.scopes[i - 1].place) ||
            (scope.parent != none && scope.parent >= i))
            return std::nullopt;
    }
    for (const Code& part : outline.code)
        if (part.place >= size) return std::nullopt;
    return outline;
}

std::uint32_t UnitOutline::find(const Dwarf_Die& root, const Dwarf_Die& die) const {
    const auto place = static_cast<const char*>(die.addr) - static_cast<const char*>(root.addr);
    if (place < 0) return none;
    const auto found = std::ranges::lower_bound(scopes, static_cast<std::uint64_t>(place), {}, &Scope::place);
    if (found == scopes.end() || std::cmp_not_equal(found->place, place)) return none;
    return static_cast<std::uint32_t>(found - scopes.begin());
}

}  // namespace asyncdump
