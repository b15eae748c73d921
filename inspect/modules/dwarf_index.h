#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "modules/interval_index.h"
#include "modules/unit_outlines.h"

namespace asyncdump {

/// Which unit and which function of a Dwarf an address belongs to. All addresses are those of the Dwarf.
///
/// The compile units' own ranges are the source, not .debug_aranges: clang writes none, and a program linked
/// from objects of several compilers has them for a part only. .debug_aranges and the functions' ranges come
/// second, for units that give no range themselves.
class DwarfIndex {
  public:
    struct CodeRange {
        Dwarf_Addr begin, end;
    };

    /// Ranges that begin outside `code` belong to functions that the linker dropped (it leaves 0, 1 or -1 in
    /// their place).
    /// `cache`, of the module, may be nullptr.
    DwarfIndex(Dwarf* dwarf, std::vector<CodeRange> code, ModuleCache* cache)
        : dwarf_(dwarf), code_(std::move(code)), cache_(cache) {}

    std::optional<Dwarf_Die> root_at(
        Dwarf_Addr address);  ///< in the linked file: it has the lines, and the ranges
    std::optional<Dwarf_Die> unit_at(
        Dwarf_Addr address);  ///< in the .dwo file for split DWARF: it has the functions
    std::optional<Dwarf_Die> subprogram_at(Dwarf_Addr address);

    /// True once a unit was asked for whose code is described in a .dwo file that was not found.
    bool misses_split_unit() const { return misses_split_unit_; }

  private:
    using Subprograms = IntervalIndex<Dwarf_Die>;

    std::optional<Dwarf_Die> find_root(Dwarf_Addr address);
    void index_units();
    void index_units_without_ranges();
    bool add_ranges(Dwarf_Die& die, IntervalIndex<Dwarf_Die>& index) const;
    bool is_code(Dwarf_Addr begin) const;
    std::optional<Dwarf_Die> unit_by_aranges(Dwarf_Addr address) const;
    std::optional<Dwarf_Die> with_split_unit(Dwarf_Die root);
    UnitOutlines& outlines_of(const Dwarf_Die& unit);
    const Subprograms& subprograms_of(Dwarf_Die unit);

    Dwarf* dwarf_;
    std::vector<CodeRange> code_;
    ModuleCache* cache_;
    bool units_indexed_ = false;
    bool all_units_indexed_ = false;
    bool misses_split_unit_ = false;
    IntervalIndex<Dwarf_Die> units_;
    std::vector<Dwarf_Die> units_without_ranges_;
    IntervalIndex<Dwarf_Die> units_by_subprograms_;
    std::unordered_map<const void*, std::unique_ptr<Subprograms>> subprograms_;  ///< by the unit's root
    std::unordered_map<Dwarf*, std::unique_ptr<UnitOutlines>> outlines_;
};

}  // namespace asyncdump
