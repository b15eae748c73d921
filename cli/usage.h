#pragma once

#include <CLI/CLI.hpp>
#include <string_view>

namespace asyncdump {

/// What a command line that could not be parsed ends with: help and version are printed, a mistake is told in
/// one line on standard error. Returns the exit status. `command`: "asyncdump watch".
int end_parsing(const CLI::App& app, const CLI::ParseError& error, std::string_view command);

}  // namespace asyncdump
