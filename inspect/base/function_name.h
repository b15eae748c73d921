#pragma once

#include <string>
#include <string_view>

namespace asyncdump {

/// A readable function name for a sentence: "Server::session<int>" for "(anonymous
/// namespace)::Server::session<int>(tcp::socket&) const". At most some 80 bytes.
std::string short_function_name(std::string_view name);

}  // namespace asyncdump
