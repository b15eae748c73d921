#include "modules/dwarf_types.h"

#include <dwarf.h>

#include <algorithm>
#include <vector>

#include "modules/unit_outlines.h"

namespace asyncdump {
namespace {

constexpr int longest_type_chain = 32;
constexpr int deepest_nesting = 16;
constexpr std::uint32_t largest_type = 16 * 1024 * 1024;

bool is_qualifier(int tag) {
    return tag == DW_TAG_typedef || tag == DW_TAG_const_type || tag == DW_TAG_volatile_type ||
           tag == DW_TAG_restrict_type || tag == DW_TAG_atomic_type;
}

bool is_aggregate(int tag) {
    return tag == DW_TAG_structure_type || tag == DW_TAG_class_type || tag == DW_TAG_union_type;
}

std::optional<Dwarf_Word> constant(Dwarf_Die die, unsigned name) {
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr_integrate(&die, name, &attribute) == nullptr) return std::nullopt;
    if (dwarf_formudata(&attribute, &value) != 0) return std::nullopt;
    return value;
}

std::uint32_t alignment_of(Dwarf_Die type, int depth) {
    type = strip_typedefs(type);
    const auto declared = static_cast<std::uint32_t>(constant(type, DW_AT_alignment).value_or(1));
    const int tag = dwarf_tag(&type);
    std::uint32_t alignment = declared;
    if (is_aggregate(tag) && depth < deepest_nesting) {
        for_each_member(type, [&](const DwarfMember& member) {
            const auto own = static_cast<std::uint32_t>(constant(member.die, DW_AT_alignment).value_or(1));
            alignment = std::max({alignment, own, alignment_of(member.type, depth + 1)});
            return true;
        });
    } else if (tag == DW_TAG_array_type && depth < deepest_nesting) {
        if (const auto element = type_of(type))
            alignment = std::max(alignment, alignment_of(*element, depth + 1));
    } else {
        alignment = std::max(alignment, std::clamp<std::uint32_t>(type_size(type).value_or(1), 1, 16));
    }
    return std::clamp<std::uint32_t>(alignment, 1, 4096);
}

/// What a member's description says of it. Read in one pass: each single question would search the
/// abbreviation again.
struct MemberAttributes {
    explicit MemberAttributes(Dwarf_Die& member) { dwarf_getattrs(&member, take, this, 0); }

    const char* name = "";
    std::optional<Dwarf_Die> type;
    bool is_static = false;
    std::optional<Dwarf_Word> location, data_bit_offset, bit_offset, bit_size, byte_size;

  private:
    static int take(Dwarf_Attribute* attribute, void* context) {
        static_cast<MemberAttributes*>(context)->take(*attribute);
        return DWARF_CB_OK;
    }

    void take(Dwarf_Attribute& attribute) {
        const auto number = [&](std::optional<Dwarf_Word>& result) {
            Dwarf_Word value = 0;
            if (dwarf_formudata(&attribute, &value) == 0) result = value;
        };
        switch (dwarf_whatattr(&attribute)) {
            case DW_AT_name:
                if (const char* const text = dwarf_formstring(&attribute)) name = text;
                break;
            case DW_AT_type: {
                Dwarf_Die found;
                if (dwarf_formref_die(&attribute, &found) != nullptr) type = found;
                break;
            }
            case DW_AT_external:
            case DW_AT_declaration:
                is_static = true;
                break;
            case DW_AT_data_member_location:
                number(location);
                break;
            case DW_AT_data_bit_offset:
                number(data_bit_offset);
                break;
            case DW_AT_bit_offset:
                number(bit_offset);
                break;
            case DW_AT_bit_size:
                number(bit_size);
                break;
            case DW_AT_byte_size:
                number(byte_size);
                break;
            default:
                break;
        }
    }
};

/// With -fdebug-types-section a unit has no more of a type than the signature of the unit that describes it.
Dwarf_Die definition_by_signature(Dwarf_Die type) {
    const int tag = dwarf_tag(&type);
    if (!is_aggregate(tag) && tag != DW_TAG_enumeration_type) return type;
    Dwarf_Attribute attribute;
    Dwarf_Die definition;
    if (dwarf_attr(&type, DW_AT_signature, &attribute) == nullptr ||
        dwarf_formref_die(&attribute, &definition) == nullptr)
        return type;
    return definition;
}

}  // namespace

std::string die_name(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    const char* name = dwarf_formstring(dwarf_attr_integrate(&die, DW_AT_name, &attribute));
    return name != nullptr ? name : "";
}

std::optional<Dwarf_Die> type_of(Dwarf_Die die) {
    Dwarf_Attribute attribute;
    Dwarf_Die type;
    if (dwarf_attr_integrate(&die, DW_AT_type, &attribute) == nullptr) return std::nullopt;
    if (dwarf_formref_die(&attribute, &type) == nullptr) return std::nullopt;
    return type;
}

Dwarf_Die strip_typedefs(Dwarf_Die type) {
    for (int i = 0; i < longest_type_chain && is_qualifier(dwarf_tag(&type)); ++i) {
        const auto next = type_of(type);
        if (!next) break;
        type = *next;
    }
    return definition_by_signature(type);
}

bool is_pointer(Dwarf_Die type) {
    type = strip_typedefs(type);
    const int tag = dwarf_tag(&type);
    return tag == DW_TAG_pointer_type || tag == DW_TAG_reference_type || tag == DW_TAG_rvalue_reference_type;
}

std::optional<Dwarf_Die> pointee(Dwarf_Die type) {
    return is_pointer(type) ? type_of(strip_typedefs(type)) : std::nullopt;
}

std::optional<std::uint32_t> type_size(Dwarf_Die type) {
    type = strip_typedefs(type);
    Dwarf_Word size = 0;
    if (dwarf_aggregate_size(&type, &size) != 0 || size > largest_type) {
        return is_pointer(type) ? std::optional(8U) : std::nullopt;
    }
    return static_cast<std::uint32_t>(size);
}

std::optional<bool> is_returned_in_memory(Dwarf_Die type) {
    constexpr std::uint32_t most_bytes_in_registers = 16;
    type = strip_typedefs(type);
    const int tag = dwarf_tag(&type);
    if (tag != DW_TAG_class_type && tag != DW_TAG_structure_type && tag != DW_TAG_union_type)
        return std::nullopt;
    if (type_size(type).value_or(0) > most_bytes_in_registers) return true;
    Dwarf_Attribute attribute;
    Dwarf_Word convention = 0;
    if (dwarf_attr(&type, DW_AT_calling_convention, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &convention) != 0)
        return std::nullopt;
    if (convention == DW_CC_pass_by_reference) return true;
    return convention == DW_CC_pass_by_value ? std::optional(false) : std::nullopt;
}

std::uint32_t type_alignment(Dwarf_Die type) {
    return alignment_of(type, 0);
}

std::string qualified_type_name(Dwarf_Die type) {
    std::string pointers;
    type = strip_typedefs(type);
    for (int i = 0; i < longest_type_chain && is_pointer(type); ++i) {
        const int tag = dwarf_tag(&type);
        pointers.insert(0, tag == DW_TAG_pointer_type ? "*" : tag == DW_TAG_reference_type ? "&" : "&&");
        const auto target = type_of(type);
        if (!target) return "void" + pointers;
        type = strip_typedefs(*target);
    }
    std::string name = die_name(type);
    if (name.empty()) return name;
    for (const Dwarf_Die& scope : scopes_around(type)) {
        const std::string outer = die_name(scope);
        name = (outer.empty() ? std::string("(anonymous namespace)") : outer) + "::" + name;
    }
    return name + pointers;
}

void for_each_member(Dwarf_Die type, const std::function<bool(const DwarfMember&)>& visit) {
    type = strip_typedefs(type);
    if (!is_aggregate(dwarf_tag(&type))) return;
    Dwarf_Die child;
    if (dwarf_child(&type, &child) != 0) return;
    const bool is_union = dwarf_tag(&type) == DW_TAG_union_type;
    do {
        const int tag = dwarf_tag(&child);
        if (tag != DW_TAG_member && tag != DW_TAG_inheritance) continue;
        const MemberAttributes attributes(child);
        if (attributes.is_static || !attributes.type) continue;
        DwarfMember member{child, *attributes.type, attributes.name, 0, tag == DW_TAG_inheritance, {}, {}};
        if (const auto offset = attributes.location) {
            if (*offset > largest_type) continue;
            member.offset = static_cast<std::uint32_t>(*offset);
        } else if (const auto bits = attributes.data_bit_offset) {
            member.bit_offset = static_cast<std::uint32_t>(*bits % 8);
            member.offset = static_cast<std::uint32_t>(*bits / 8);
        } else if (!is_union) {
            continue;  // a virtual base
        }
        if (const auto bits = attributes.bit_size) {
            member.bit_size = static_cast<std::uint32_t>(*bits);
            // Up to DWARF 4, and clang 14: counted from the most significant bit of a storage unit.
            const auto from_top = attributes.bit_offset;
            const std::uint64_t unit_bits =
                8 * attributes.byte_size.value_or(type_size(member.type).value_or(0));
            if (!member.bit_offset && from_top && unit_bits <= 64 && *from_top + *bits <= unit_bits) {
                member.bit_offset = static_cast<std::uint32_t>(unit_bits - *from_top - *bits);
            }
            if (!member.bit_offset) member.bit_offset = 0;
        }
        if (!visit(member)) return;
    } while (dwarf_siblingof(&child, &child) == 0);
}

}  // namespace asyncdump
