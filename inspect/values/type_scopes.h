#pragma once

#include <elfutils/libdw.h>

#include <string>

namespace asyncdump {

/// "std::__cxx11::basic_string<char, ...>" as debug information has it; without scopes for what is neither a
/// class nor an enumeration; "" for a type without a name.
std::string scoped_type_name(Dwarf_Die type);

}  // namespace asyncdump
