#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "graph/dump.h"

namespace asyncdump {

/// Short names for the source files of a dump: the last component of the path, and as many folders before it
/// as it takes to tell it from every other file of the dump. Refers to the dump's own text: the dump must
/// outlive it.
class SourceNames {
  public:
    SourceNames(const Dump& dump, bool unicode);

    /// Printable. `path` must be one of the dump's.
    const std::string& of(std::string_view path) const;
    /// "server.cpp:61"; without a line only the file, "" without a file.
    std::string position(std::string_view path, std::uint32_t line) const;

  private:
    std::unordered_map<std::string_view, std::string> names_;
};

}  // namespace asyncdump
