#include "values/value_type.h"

#include <dwarf.h>
#include <fmt/format.h>

#include <algorithm>

#include "modules/dwarf_types.h"
#include "modules/dwarf_walk.h"
#include "modules/names.h"
#include "values/standard_library.h"
#include "values/type_scopes.h"

namespace asyncdump {
namespace {

constexpr std::size_t most_fields = 256;
constexpr std::size_t most_enumerators = 4096;
constexpr std::size_t most_template_arguments = 64;
constexpr int deepest_pointer = 8;

ValueType::Kind kind_of_base(Dwarf_Die die) {
    using Kind = ValueType::Kind;
    Dwarf_Attribute attribute;
    Dwarf_Word encoding = 0;
    if (dwarf_formudata(dwarf_attr(&die, DW_AT_encoding, &attribute), &encoding) != 0) return Kind::unknown;
    switch (encoding) {
        case DW_ATE_boolean:
            return Kind::boolean;
        case DW_ATE_signed:
            return Kind::signed_integer;
        case DW_ATE_unsigned:
            return Kind::unsigned_integer;
        case DW_ATE_signed_char:
        case DW_ATE_unsigned_char: {
            // int8_t and uint8_t are "signed char" and "unsigned char": numbers to their users.
            const std::string name = die_name(die);
            if (name == "char") return Kind::character;
            return encoding == DW_ATE_signed_char ? Kind::signed_integer : Kind::unsigned_integer;
        }
        case DW_ATE_UTF:
            return Kind::character;
        case DW_ATE_float:
            return Kind::floating;
        default:
            return Kind::unknown;
    }
}

ValueType::Kind kind_of(Dwarf_Die die) {
    using Kind = ValueType::Kind;
    switch (dwarf_tag(&die)) {
        case DW_TAG_base_type:
            return kind_of_base(die);
        case DW_TAG_enumeration_type:
            return Kind::enumeration;
        case DW_TAG_pointer_type:
            return Kind::pointer;
        case DW_TAG_reference_type:
        case DW_TAG_rvalue_reference_type:
            return Kind::reference;
        case DW_TAG_array_type:
            return Kind::array;
        case DW_TAG_structure_type:
        case DW_TAG_class_type:
            return Kind::record;
        case DW_TAG_union_type:
            return Kind::one_of;
        case DW_TAG_subroutine_type:
            return Kind::function;
        case DW_TAG_unspecified_type:
            return Kind::nothing;
        default:
            return Kind::unknown;
    }
}

/// "std::__cxx11::basic_string<char, ...>" -> "std::basic_string". Names of std's implementation that begin
/// with two underscores are inline namespaces when something follows them.
std::string family_of(std::string_view full_name) {
    full_name = full_name.substr(0, full_name.find('<'));
    if (!full_name.starts_with("std::")) return std::string(full_name);
    std::string family = "std";
    std::string_view rest = full_name.substr(5);
    while (!rest.empty()) {
        const auto end = rest.find("::");
        const std::string_view component = rest.substr(0, end);
        const bool is_last = end == std::string_view::npos;
        if (is_last || !(component.starts_with("__") || component == "_V2")) {
            family += "::";
            family += component;
        }
        rest = is_last ? std::string_view() : rest.substr(end + 2);
    }
    return family;
}

std::string_view name_of_unnamed(Dwarf_Die die, ValueType::Kind kind) {
    switch (kind) {
        case ValueType::Kind::function:
            return "function";
        case ValueType::Kind::one_of:
            return "(anonymous union)";
        case ValueType::Kind::enumeration:
            return "(anonymous enum)";
        case ValueType::Kind::record:
            return "(anonymous struct)";
        default:
            return dwarf_tag(&die) == DW_TAG_ptr_to_member_type ? "pointer to member" : "(unknown type)";
    }
}

}  // namespace

ValueType::ValueType(TypeTable& table, Dwarf_Die die) : table_(table), die_(die), kind_(kind_of(die)) {
    if (kind_ != Kind::record && kind_ != Kind::one_of) return;
    full_name_ = scoped_type_name(die);
    family_ = family_of(full_name_);
    printer_ = find_standard_printer(family_);
}

const std::string& ValueType::name() const {
    if (!name_.empty()) return name_;
    const ValueType* type = this;
    std::string suffix;
    for (int depth = 0; depth < deepest_pointer && type != nullptr; ++depth, type = type->target()) {
        if (type->kind_ == Kind::pointer) {
            suffix.insert(0, 1, '*');
        } else if (type->kind_ == Kind::reference) {
            suffix.insert(0, dwarf_tag(&type->die_) == DW_TAG_reference_type ? 1 : 2, '&');
        } else if (type->kind_ == Kind::array) {
            suffix += fmt::format("[{}]", type->element_count());
        } else {
            break;
        }
    }
    name_ = "void";
    if (type != nullptr) {
        name_ = readable_name(scoped_type_name(type->die_));
        if (name_.empty()) name_ = name_of_unnamed(type->die_, type->kind_);
    }
    name_ += suffix;
    return name_;
}

Dwarf_Die ValueType::definition() const {
    if (!definition_) definition_ = table_.definitions_.definition_of(die_, full_name_).value_or(die_);
    return *definition_;
}

bool ValueType::is_declaration() const {
    if (kind_ != Kind::record && kind_ != Kind::one_of) return false;
    Dwarf_Die die = definition();
    Dwarf_Attribute attribute;
    return dwarf_attr(&die, DW_AT_declaration, &attribute) != nullptr;
}

std::uint32_t ValueType::size() const {
    if (size_) return *size_;
    const bool is_record = kind_ == Kind::record || kind_ == Kind::one_of;
    size_ = type_size(is_record ? definition() : die_).value_or(0);
    // Clang only declares the library's strings: see text_printers.cpp.
    if (*size_ == 0 && family_ == "std::basic_string") {
        size_ = full_name_.starts_with("std::__cxx11::") ? 32U : full_name_.starts_with("std::__") ? 24U : 8U;
    }
    return *size_;
}

std::uint32_t ValueType::alignment() const {
    const bool is_record = kind_ == Kind::record || kind_ == Kind::one_of;
    if (!alignment_) alignment_ = is_declaration() ? 8U : type_alignment(is_record ? definition() : die_);
    return *alignment_;
}

const ValueType* ValueType::target() const {
    if (!target_) {
        const auto type = kind_ == Kind::record || kind_ == Kind::one_of ? std::nullopt : type_of(die_);
        target_ = type ? &table_.of(*type) : nullptr;
    }
    return *target_;
}

std::uint32_t ValueType::element_count() const {
    const ValueType* element = target();
    if (kind_ != Kind::array || element == nullptr || element->size() == 0) return 0;
    return size() / element->size();
}

const std::vector<ValueField>& ValueType::fields() const {
    if (!fields_) {
        fields_.emplace();
        std::vector<ValueField> found;
        if (kind_ == Kind::record || kind_ == Kind::one_of) {
            for_each_member(definition(), [&](const DwarfMember& member) {
                ValueField field{member.is_base ? "" : member.name,
                                 &table_.of(member.type),
                                 member.offset,
                                 member.is_base,
                                 member.bit_offset,
                                 member.bit_size};
                found.push_back(std::move(field));
                return found.size() < most_fields;
            });
        }
        fields_ = std::move(found);
    }
    return *fields_;
}

bool ValueType::is_scoped_enumeration() const {
    Dwarf_Attribute attribute;
    return dwarf_attr(&die_, DW_AT_enum_class, &attribute) != nullptr;
}

const std::vector<std::pair<std::int64_t, std::string>>& ValueType::enumerators() const {
    if (!enumerators_) {
        enumerators_.emplace();
        Dwarf_Die die = die_, child;
        if (kind_ != Kind::enumeration || dwarf_child(&die, &child) != 0) return *enumerators_;
        do {
            Dwarf_Attribute attribute;
            Dwarf_Sword value = 0;
            if (dwarf_tag(&child) != DW_TAG_enumerator) continue;
            if (dwarf_formsdata(dwarf_attr(&child, DW_AT_const_value, &attribute), &value) != 0) continue;
            enumerators_->emplace_back(value, die_name(child));
        } while (enumerators_->size() < most_enumerators && go_to_sibling(child));
    }
    return *enumerators_;
}

void ValueType::add_template_argument(Dwarf_Die argument, int depth) const {
    if (template_types_.size() + template_values_.size() >= most_template_arguments) return;
    switch (dwarf_tag(&argument)) {
        case DW_TAG_template_type_parameter:
            if (const auto type = type_of(argument)) template_types_.push_back(&table_.of(*type));
            break;
        case DW_TAG_template_value_parameter: {
            Dwarf_Attribute attribute;
            Dwarf_Sword value = 0;
            if (dwarf_formsdata(dwarf_attr(&argument, DW_AT_const_value, &attribute), &value) == 0)
                template_values_.push_back(value);
            break;
        }
        case DW_TAG_GNU_template_parameter_pack: {
            Dwarf_Die child;
            if (depth > 1 || dwarf_child(&argument, &child) != 0) break;
            do {
                add_template_argument(child, depth + 1);
            } while (go_to_sibling(child));
            break;
        }
        default:
            break;
    }
}

void ValueType::read_template_arguments() const {
    if (template_arguments_read_) return;
    template_arguments_read_ = true;
    Dwarf_Die die = definition(), child;
    if (dwarf_child(&die, &child) != 0) return;
    do {
        add_template_argument(child, 0);
    } while (go_to_sibling(child));
}

const ValueType* ValueType::template_type(std::size_t n) const {
    read_template_arguments();
    return n < template_types_.size() ? template_types_[n] : nullptr;
}

std::optional<std::int64_t> ValueType::template_value(std::size_t n) const {
    read_template_arguments();
    return n < template_values_.size() ? std::optional(template_values_[n]) : std::nullopt;
}

const ValueType& TypeTable::of(Dwarf_Die type) {
    type = strip_typedefs(type);
    auto& entry = types_[type.addr];
    if (entry == nullptr) entry.reset(new ValueType(*this, type));
    return *entry;
}

Dwarf_Die TypeTable::definition_of(Dwarf_Die type) {
    type = strip_typedefs(type);
    Dwarf_Attribute attribute;
    if (dwarf_attr(&type, DW_AT_declaration, &attribute) == nullptr) return type;
    return definitions_.definition_of(type, qualified_type_name(type)).value_or(type);
}

}  // namespace asyncdump
