#pragma once

#include <elfutils/libdw.h>

#include <cstddef>
#include <optional>
#include <span>

namespace asyncdump {

/// Goes to the next DIE of the same level. False at the end, and for one that lies before `die`: a
/// DW_AT_sibling that leads back would make a walk endless.
inline bool go_to_sibling(Dwarf_Die& die) {
    const void* const before = die.addr;
    return dwarf_siblingof(&die, &die) == 0 && die.addr > before;
}

/// Lets a walk through a tree visit every DIE once: in a well-formed file the addresses only grow on the way.
/// Siblings that lead into the children of the DIE before them would make the visits multiply with every
/// level.
class OncePerDie {
  public:
    bool is_new(const Dwarf_Die& die) {
        if (die.addr <= furthest_) return false;
        furthest_ = die.addr;
        return true;
    }

  private:
    const void* furthest_ = nullptr;
};

/// The entries of a variable's location list, one after the other; of a variable that is everywhere at the
/// same place, one entry. A list can be endless in a hostile file: no more than `most_entries` are given.
class LocationList {
  public:
    struct Entry {
        Dwarf_Addr begin, end;  ///< of the code, as in the file
        std::span<const Dwarf_Op> operations;
    };

    explicit LocationList(const Dwarf_Attribute& attribute) : attribute_(attribute) {}

    std::optional<Entry> next() {
        if (++entries_ > most_entries) return std::nullopt;
        Dwarf_Addr begin = 0, end = 0;
        Dwarf_Op* operations = nullptr;
        std::size_t count = 0;
        offset_ = dwarf_getlocations(&attribute_, offset_, &base_, &begin, &end, &operations, &count);
        if (offset_ <= 0) return std::nullopt;
        return Entry{begin, end, {operations, count}};
    }

  private:
    static constexpr int most_entries = 256;

    Dwarf_Attribute attribute_;
    Dwarf_Addr base_ = 0;
    std::ptrdiff_t offset_ = 0;
    int entries_ = 0;
};

}  // namespace asyncdump
