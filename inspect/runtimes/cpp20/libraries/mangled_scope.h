#pragma once

#include <initializer_list>
#include <string_view>

namespace asyncdump::cpp20 {

/// Does a linkage name (Itanium C++ ABI) belong to one of these scopes, each given as it is mangled
/// ("5boost4asio")? Looking at the mangled form is safer than at the demangled one, which begins with the
/// return type for templates.
inline bool is_in_scope(std::string_view symbol, std::initializer_list<std::string_view> scopes) {
    if (!symbol.starts_with("_Z")) return false;
    symbol.remove_prefix(2);
    while (symbol.starts_with("Z")) symbol.remove_prefix(1);  // local to a function of that scope
    if (!symbol.starts_with("N")) return false;
    symbol.remove_prefix(1);
    while (!symbol.empty() && (symbol[0] == 'K' || symbol[0] == 'R' || symbol[0] == 'O'))
        symbol.remove_prefix(1);
    for (const std::string_view scope : scopes) {
        if (symbol.starts_with(scope)) return true;
    }
    return false;
}

}  // namespace asyncdump::cpp20
