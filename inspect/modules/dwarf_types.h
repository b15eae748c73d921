#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace asyncdump {

/// DW_AT_name through abstract origin and specification; "" when there is none.
std::string die_name(Dwarf_Die die);

/// The type of a variable, member, parameter, pointer, typedef...; empty for void.
std::optional<Dwarf_Die> type_of(Dwarf_Die die);

/// Through typedefs and cv-qualifiers to the type itself; to its definition where its unit has only the
/// signature of the one that describes it (-fdebug-types-section).
Dwarf_Die strip_typedefs(Dwarf_Die type);

/// A pointer or reference, also to void.
bool is_pointer(Dwarf_Die type);

/// What a pointer or reference (through typedefs) points to; empty when it is none or points to void.
std::optional<Dwarf_Die> pointee(Dwarf_Die type);

/// Bytes of a type; empty when unknown (declarations) or absurd (over 16 MiB).
std::optional<std::uint32_t> type_size(Dwarf_Die type);

/// Whether a function returns such a class through memory that its caller gives it, the address of which is
/// then its first argument (x86-64 psABI 3.2.3, Itanium C++ ABI 3.1.3.1). Empty when debug information does
/// not say (DWARF 4), or the type is no class. Wrong for a class that is nothing but a vector of 32 or 64
/// bytes.
std::optional<bool> is_returned_in_memory(Dwarf_Die type);

/// Alignment of a type in bytes: DW_AT_alignment of it, its bases and members, else the natural one (at most
/// 16).
std::uint32_t type_alignment(Dwarf_Die type);

/// Qualified name as debug information has it: "std::__n4861::coroutine_handle<void>". Not made readable.
std::string qualified_type_name(Dwarf_Die type);

struct DwarfMember {
    Dwarf_Die die;
    Dwarf_Die type;
    std::string name;          ///< "" for an anonymous struct or union and for a base class
    std::uint32_t offset = 0;  ///< bytes from the containing object
    bool is_base = false;
    std::optional<std::uint32_t> bit_offset, bit_size;  ///< of a bit-field
};

/// Visits the non-static data members and base classes of a struct, class or union, in order, until `visit`
/// returns false. Virtual bases have no constant offset and are left out.
void for_each_member(Dwarf_Die type, const std::function<bool(const DwarfMember&)>& visit);

}  // namespace asyncdump
