#include "modules/dwarf_index.h"

#include <dwarf.h>

#include <algorithm>

namespace asyncdump {

bool DwarfIndex::is_code(Dwarf_Addr begin) const {
    return std::any_of(code_.begin(), code_.end(),
                       [&](const CodeRange& range) { return range.begin <= begin && begin < range.end; });
}

/// False when the DIE names no range at all.
bool DwarfIndex::add_ranges(Dwarf_Die& die, IntervalIndex<Dwarf_Die>& index) const {
    Dwarf_Addr base = 0, begin = 0, end = 0;
    bool has_any = false;
    for (ptrdiff_t offset = 0; (offset = dwarf_ranges(&die, offset, &base, &begin, &end)) > 0;) {
        has_any = true;
        if (is_code(begin)) index.add(begin, end, die);
    }
    return has_any;
}

void DwarfIndex::index_units() {
    if (units_indexed_) return;
    units_indexed_ = true;
    Dwarf_CU* unit = nullptr;
    Dwarf_Die root;
    std::uint8_t type = 0;
    while (dwarf_get_units(dwarf_, unit, &unit, nullptr, &type, &root, nullptr) == 0) {
        if (type != DW_UT_compile && type != DW_UT_skeleton && type != DW_UT_partial) continue;
        if (!add_ranges(root, units_) && type == DW_UT_compile) units_without_ranges_.push_back(root);
    }
    units_.finish();
}

void DwarfIndex::index_units_without_ranges() {
    if (all_units_indexed_) return;
    all_units_indexed_ = true;
    for (const Dwarf_Die& unit : units_without_ranges_) {
        for (const UnitOutline::Code& code : outlines_of(unit).at(unit).code)
            if (is_code(code.begin)) units_by_subprograms_.add(code.begin, code.end, unit);
    }
    units_by_subprograms_.finish();
}

std::optional<Dwarf_Die> DwarfIndex::unit_by_aranges(Dwarf_Addr address) const {
    Dwarf_Aranges* table = nullptr;
    if (dwarf_getaranges(dwarf_, &table, nullptr) != 0) return std::nullopt;
    Dwarf_Arange* range = dwarf_getarange_addr(table, address);
    Dwarf_Off unit_offset = 0;
    if (!range || dwarf_getarangeinfo(range, nullptr, nullptr, &unit_offset) != 0) return std::nullopt;
    Dwarf_Die root;
    if (!dwarf_offdie(dwarf_, unit_offset, &root)) return std::nullopt;
    return root;
}

/// The unit that holds the descriptions where the linked file only holds a skeleton.
std::optional<Dwarf_Die> DwarfIndex::with_split_unit(Dwarf_Die root) {
    Dwarf_Die split{};
    std::uint8_t type = 0;
    if (dwarf_cu_info(root.cu, nullptr, &type, nullptr, &split, nullptr, nullptr, nullptr) != 0 ||
        type != DW_UT_skeleton)
        return root;
    if (split.addr) return split;
    misses_split_unit_ = true;
    return root;
}

std::optional<Dwarf_Die> DwarfIndex::root_at(Dwarf_Addr address) {
    const auto root = find_root(address);
    if (root) outlines_of(*root);  // found by whoever asks for the unit's lines
    return root;
}

std::optional<Dwarf_Die> DwarfIndex::find_root(Dwarf_Addr address) {
    index_units();
    if (const Dwarf_Die* root = units_.find(address)) return *root;
    if (!is_code(address)) return std::nullopt;
    if (const auto root = unit_by_aranges(address)) return root;
    index_units_without_ranges();
    if (const Dwarf_Die* root = units_by_subprograms_.find(address)) return *root;
    return std::nullopt;
}

std::optional<Dwarf_Die> DwarfIndex::unit_at(Dwarf_Addr address) {
    const auto root = root_at(address);
    return root ? with_split_unit(*root) : std::nullopt;
}

/// A split unit belongs to the Dwarf of its .dwo file.
UnitOutlines& DwarfIndex::outlines_of(const Dwarf_Die& unit) {
    auto& outlines = outlines_[dwarf_cu_getdwarf(unit.cu)];
    Dwarf* const dwarf = dwarf_cu_getdwarf(unit.cu);
    // A .dwo file has no build id: it may be another one the next time.
    if (!outlines) outlines = std::make_unique<UnitOutlines>(dwarf, dwarf == dwarf_ ? cache_ : nullptr);
    return *outlines;
}

const DwarfIndex::Subprograms& DwarfIndex::subprograms_of(Dwarf_Die unit) {
    auto& subprograms = subprograms_[unit.addr];
    if (!subprograms) {
        subprograms = std::make_unique<Subprograms>();
        for (const UnitOutline::Code& code : outlines_of(unit).at(unit).code)
            if (is_code(code.begin)) subprograms->add(code.begin, code.end, die_at(unit, code.place));
        subprograms->finish();
    }
    return *subprograms;
}

std::optional<Dwarf_Die> DwarfIndex::subprogram_at(Dwarf_Addr address) {
    const auto unit = unit_at(address);
    if (!unit) return std::nullopt;
    const Dwarf_Die* subprogram = subprograms_of(*unit).find(address);
    if (!subprogram) return std::nullopt;
    return *subprogram;
}

}  // namespace asyncdump
