#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace asyncdump {

/// A template-id in the shortest form that names the same type: default arguments left out, and the usual
/// alias where there is one (`std::string`, `std::chrono::milliseconds`, `boost::asio::steady_timer`). `name`
/// is qualified and without inline namespaces; `arguments` were folded themselves. `is_libcxx` tells the
/// standard library where the defaults differ.
std::string fold_template(std::string_view name, std::vector<std::string> arguments, bool is_libcxx);

/// A namespace of a standard library that users never write.
bool is_inline_namespace_of_std(std::string_view identifier);

}  // namespace asyncdump
