#include "modules/dwarf_functions.h"

#include <dwarf.h>

#include <optional>
#include <string_view>
#include <utility>

#include "modules/dwarf_walk.h"
#include "modules/line_table.h"

namespace asyncdump {
namespace {

// Bounds for hostile files; real chains are far shorter.
constexpr int maximal_inlined_calls = 256;
constexpr int maximal_scope_depth = 256;
constexpr int maximal_references = 16;

/// Appends the innermost chain of inlined calls at `pc` below `parent`.
void append_inlined_calls(Dwarf_Die& parent, Dwarf_Addr pc, int depth, OncePerDie& once,
                          std::vector<Dwarf_Die>& chain) {
    Dwarf_Die die;
    if (depth > maximal_inlined_calls || dwarf_child(&parent, &die) != 0) return;
    do {
        if (!once.is_new(die)) return;
        switch (dwarf_tag(&die)) {
            case DW_TAG_inlined_subroutine:
                if (dwarf_haspc(&die, pc) == 1) {
                    chain.push_back(die);
                    append_inlined_calls(die, pc, depth + 1, once, chain);
                    return;
                }
                break;
            case DW_TAG_lexical_block:
            case DW_TAG_try_block:
            case DW_TAG_catch_block: {
                // A block without ranges only groups declarations, but calls inlined below it have ranges of
                // their own.
                const bool has_ranges =
                    dwarf_hasattr(&die, DW_AT_low_pc) || dwarf_hasattr(&die, DW_AT_ranges);
                if (has_ranges && dwarf_haspc(&die, pc) != 1) break;
                const auto before = chain.size();
                append_inlined_calls(die, pc, depth + 1, once, chain);
                if (chain.size() != before) return;
                break;
            }
            default:
                break;
        }
    } while (go_to_sibling(die));
}

bool follow(Dwarf_Die& die, unsigned attribute_name) {
    Dwarf_Attribute attribute;
    Dwarf_Die target;
    if (!dwarf_attr(&die, attribute_name, &attribute) || !dwarf_formref_die(&attribute, &target))
        return false;
    die = target;
    return true;
}

const char* own_string(Dwarf_Die& die, unsigned attribute_name) {
    Dwarf_Attribute attribute;
    return dwarf_attr(&die, attribute_name, &attribute) ? dwarf_formstring(&attribute) : nullptr;
}

/// The DIE that stands in the scope where the function was declared.
Dwarf_Die declaration_of(Dwarf_Die function) {
    for (int i = 0; i < maximal_references; ++i)
        if (!follow(function, DW_AT_abstract_origin) && !follow(function, DW_AT_specification)) break;
    return function;
}

/// The parameter `frame_ptr` of GCC's actor and destroy functions points to a struct that is called
/// "<ramp>.Frame".
std::string ramp_by_frame_type(Dwarf_Die function) {
    Dwarf_Die parameter;
    if (dwarf_child(&function, &parameter) != 0) return {};
    do {
        Dwarf_Die type = parameter;
        if (dwarf_tag(&type) != DW_TAG_formal_parameter) continue;
        follow(type, DW_AT_abstract_origin);
        const char* name = own_string(type, DW_AT_name);
        if (!name || std::string_view(name) != "frame_ptr") continue;
        for (int i = 0; i < maximal_references && follow(type, DW_AT_type); ++i) {
            const char* type_name = own_string(type, DW_AT_name);
            if (!type_name) continue;
            for (const std::string_view suffix : {".Frame", ".frame"})
                if (std::string_view text = type_name; text.ends_with(suffix))
                    return std::string(text.substr(0, text.size() - suffix.size()));
        }
        return {};
    } while (go_to_sibling(parameter));
    return {};
}

/// DIEs from below the unit's root down to `target`. Children lie behind their parent and before its next
/// sibling, so that the way down is a search by offset; libdw keeps no parents.
std::vector<Dwarf_Die> path_to(Dwarf_Die target) {
    std::vector<Dwarf_Die> path;
    Dwarf_Die parent;
    if (!dwarf_diecu(&target, &parent, nullptr, nullptr)) return path;
    const auto target_offset = dwarf_dieoffset(&target);
    for (int depth = 0; depth < maximal_scope_depth; ++depth) {
        Dwarf_Die child, last{};
        if (dwarf_child(&parent, &child) != 0) return path;
        do {
            if (dwarf_dieoffset(&child) > target_offset) break;
            last = child;
        } while (go_to_sibling(child));
        if (!last.addr) return path;
        path.push_back(last);
        if (dwarf_dieoffset(&last) == target_offset) return path;
        parent = last;
    }
    return path;
}

std::string qualified_name_of(Dwarf_Die declaration) {
    std::string name;
    for (Dwarf_Die& die : path_to(declaration)) {
        const int tag = dwarf_tag(&die);
        if (tag == DW_TAG_lexical_block) continue;
        const char* part = own_string(die, DW_AT_name);
        if (part == nullptr && tag == DW_TAG_subprogram) {
            // The copy of a function that holds its local classes: the name is its declaration's.
            const Dwarf_Die described = declaration_of(die);
            if (described.addr != die.addr) {
                name = qualified_name_of(described) + "()";
                continue;
            }
        }
        if (!name.empty()) name += "::";
        name += part ? part : tag == DW_TAG_namespace ? "(anonymous namespace)" : "{unnamed}";
    }
    return name;
}

bool is_written_in_cpp(Dwarf_Die die) {
    Dwarf_Die unit;
    if (!dwarf_diecu(&die, &unit, nullptr, nullptr)) return false;
    switch (dwarf_srclang(&unit)) {
        case DW_LANG_C_plus_plus:
        case DW_LANG_C_plus_plus_03:
        case DW_LANG_C_plus_plus_11:
        case DW_LANG_C_plus_plus_14:
            return true;
        default:
            return false;
    }
}

/// GCC's DWARF and demanglers call the same types by different names.
std::string_view demangled_base_type(std::string_view name) {
    constexpr std::pair<std::string_view, std::string_view> names[] = {
        {"long int", "long"},           {"long unsigned int", "unsigned long"},
        {"short int", "short"},         {"short unsigned int", "unsigned short"},
        {"long long int", "long long"}, {"long long unsigned int", "unsigned long long"},
    };
    for (const auto& [in_dwarf, demangled] : names)
        if (in_dwarf == name) return demangled;
    return name;
}

/// A type as a demangler writes it; empty for those whose text surrounds the declarator (functions, arrays,
/// members).
std::optional<std::string> type_text(Dwarf_Die type, int depth = 0) {
    if (depth > maximal_references) return std::nullopt;
    const auto inner = [&]() -> std::optional<std::string> {
        Dwarf_Die target = type;
        return follow(target, DW_AT_type) ? type_text(target, depth + 1) : "void";
    };
    const auto with_suffix = [&](std::string_view suffix) {
        auto text = inner();
        if (text) *text += suffix;
        return text;
    };
    switch (dwarf_tag(&type)) {
        case DW_TAG_base_type:
        case DW_TAG_unspecified_type: {
            const char* name = own_string(type, DW_AT_name);
            return name ? std::optional<std::string>(demangled_base_type(name)) : std::nullopt;
        }
        case DW_TAG_pointer_type:
            return with_suffix("*");
        case DW_TAG_reference_type:
            return with_suffix("&");
        case DW_TAG_rvalue_reference_type:
            return with_suffix("&&");
        case DW_TAG_const_type:
            return with_suffix(" const");
        case DW_TAG_volatile_type:
            return with_suffix(" volatile");
        case DW_TAG_typedef:
            return inner();
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
        case DW_TAG_union_type:
        case DW_TAG_enumeration_type: {
            auto name = qualified_name_of(type);
            return own_string(type, DW_AT_name) ? std::optional(std::move(name)) : std::nullopt;
        }
        default:
            return std::nullopt;
    }
}

/// Through typedefs, and through the cv-qualifiers of a parameter itself, which are no part of the function's
/// type.
bool type_of_parameter(Dwarf_Die& die) {
    if (!follow(die, DW_AT_type)) return false;
    for (int i = 0; i < maximal_references; ++i) {
        const int tag = dwarf_tag(&die);
        if (tag != DW_TAG_typedef && tag != DW_TAG_const_type && tag != DW_TAG_volatile_type) break;
        if (!follow(die, DW_AT_type)) return false;
    }
    return true;
}

/// "(int, char const*) const"; empty when one of the types cannot be written.
std::optional<std::string> parameter_list_of(Dwarf_Die declaration) {
    std::string list = "(";
    bool is_const_member = false;
    const auto append = [&](std::string_view text) {
        if (list.size() > 1) list += ", ";
        list += text;
    };
    Dwarf_Die die;
    if (dwarf_child(&declaration, &die) == 0) {
        do {
            if (dwarf_tag(&die) == DW_TAG_unspecified_parameters) append("...");
            if (dwarf_tag(&die) != DW_TAG_formal_parameter) continue;
            Dwarf_Die type = die;
            if (!type_of_parameter(type)) return std::nullopt;
            if (dwarf_hasattr(&die, DW_AT_artificial)) {  // this
                is_const_member = follow(type, DW_AT_type) && dwarf_tag(&type) == DW_TAG_const_type;
                continue;
            }
            const auto text = type_text(type);
            if (!text) return std::nullopt;
            append(*text);
        } while (go_to_sibling(die));
    }
    return list + (is_const_member ? ") const" : ")");
}

}  // namespace

std::vector<Dwarf_Die> inlined_chain_at(Dwarf_Die subprogram, Dwarf_Addr pc) {
    std::vector<Dwarf_Die> chain{subprogram};
    OncePerDie once;
    append_inlined_calls(subprogram, pc, 0, once, chain);
    return chain;
}

std::string linkage_name_of(Dwarf_Die function) {
    Dwarf_Die die = function;
    for (int i = 0; i < maximal_references; ++i) {
        for (const unsigned attribute : {DW_AT_linkage_name, DW_AT_MIPS_linkage_name})
            if (const char* name = own_string(die, attribute)) return name;
        if (!follow(die, DW_AT_abstract_origin) && !follow(die, DW_AT_specification)) break;
    }
    return ramp_by_frame_type(function);
}

std::string described_name_of(Dwarf_Die function) {
    Dwarf_Die declaration = declaration_of(function);
    std::string name = qualified_name_of(declaration);
    const bool is_extern_c = dwarf_hasattr(&declaration, DW_AT_external);
    if (name.empty() || is_extern_c || !is_written_in_cpp(declaration)) return name;
    if (const auto parameters = parameter_list_of(declaration)) name += *parameters;
    return name;
}

std::string absolute_source_path(const char* path, Dwarf_Die unit) {
    if (!path) return {};
    if (*path == '/') return path;
    const char* directory = own_string(unit, DW_AT_comp_dir);
    return directory ? std::string(directory) + "/" + path : path;
}

// dwarf_decl_file(3) refuses file number 0, which in DWARF 5 is the unit's own file (clang uses it).
std::string declaration_file(Dwarf_Die entry) {
    Dwarf_Attribute attribute;
    Dwarf_Word number = 0;
    Dwarf_Die unit;
    if (dwarf_attr_integrate(&entry, DW_AT_decl_file, &attribute) == nullptr ||
        dwarf_formudata(&attribute, &number) != 0 ||
        dwarf_cu_die(attribute.cu, &unit, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr) == nullptr)
        return {};
    const LineTable* const table = LineTable::of(unit);
    return table != nullptr ? table->file(number) : LineTable(unit).file(number);
}

}  // namespace asyncdump
