#pragma once

#include <elfutils/libdw.h>

#include <string>
#include <vector>

namespace asyncdump {

/// The subprogram that contains `pc` and the calls inlined into it there, outermost (the subprogram) first.
std::vector<Dwarf_Die> inlined_chain_at(Dwarf_Die subprogram, Dwarf_Addr pc);

/// DW_AT_linkage_name of a subprogram or inlined call, also through its origin or declaration; "" when there
/// is none. For the functions that GCC makes of a coroutine, which have none, the ramp's linkage name by the
/// type of their frame.
std::string linkage_name_of(Dwarf_Die function);

/// A function without linkage name by its DW_AT_name and the namespaces and classes around it, with its
/// parameters as a demangler would write them: GCC gives functions of internal linkage no linkage name, and
/// those that were inlined have no symbol either. Functions of C and extern "C" are their names alone. ""
/// when there is no name.
std::string described_name_of(Dwarf_Die function);

/// A file of the line table or of DW_AT_call_file, made absolute by the unit's compilation directory.
std::string absolute_source_path(const char* path, Dwarf_Die unit);

/// The file of DW_AT_decl_file, also through an origin or a specification; absolute. "" when there is none.
std::string declaration_file(Dwarf_Die entry);

}  // namespace asyncdump
