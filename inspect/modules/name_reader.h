#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace asyncdump {

/// Reads a demangled function or type name and writes it down again in its short form (see readable_name).
/// Empty when the text does not follow the grammar of names, for instance because its brackets do not match.
std::optional<std::string> read_and_fold(std::string_view name);

/// The demangled name of a function without the return type that demanglers print before instances of
/// function templates. Returned whole where the return type cannot be told with certainty.
std::string_view without_return_type(std::string_view demangled);

}  // namespace asyncdump
