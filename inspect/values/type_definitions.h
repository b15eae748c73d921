#pragma once

#include <elfutils/libdw.h>

#include <optional>
#include <string>
#include <unordered_map>

namespace asyncdump {

/// Finds the definition of a class that the unit at hand only declares: compilers describe a class in the
/// unit that has its constructors or its first virtual function and declare it elsewhere. The names of all
/// units of a file are read when the first one is looked for; a file with very much debug information is not
/// searched.
class TypeDefinitions {
  public:
    /// `type` itself when it is complete; empty when its definition is not found. By qualified name: where
    /// two units define different classes of one name, which C++ forbids, the first answers.
    std::optional<Dwarf_Die> definition_of(Dwarf_Die type, const std::string& qualified_name);

  private:
    using Names = std::unordered_map<std::string, Dwarf_Die>;
    const Names& names_of(Dwarf* dwarf);

    std::unordered_map<Dwarf*, Names> files_;
};

}  // namespace asyncdump
