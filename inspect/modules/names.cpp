#include "modules/names.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

#include "modules/coroutine_symbol.h"
#include "modules/name_reader.h"

namespace asyncdump {
namespace {

// Longer names are shown as they are: reading them is no help to anybody, and both bounds keep hostile files
// from costing time.
constexpr std::size_t maximal_mangled_length = 32 * 1024;
constexpr std::size_t maximal_readable_length = 256 * 1024;

struct Free {
    void operator()(char* text) const { std::free(text); }
};

bool is_mangled(std::string_view name) {
    return name.starts_with("_Z") || name.starts_with("___Z");
}

/// "vtable for", "guard variable for", "virtual thunk to": no functions with a return type of their own.
bool is_special(std::string_view mangled) {
    return mangled.starts_with("_ZT") || mangled.starts_with("_ZG");
}

}  // namespace

std::string demangle(std::string_view linkage_name, const NameStyle& style) {
    const auto coroutine = parse_coroutine_symbol(linkage_name);
    const std::string name(without_compiler_suffixes(coroutine ? coroutine->ramp : linkage_name));
    if (!is_mangled(name) || name.size() > maximal_mangled_length) return name;
    int status = 0;
    const std::unique_ptr<char, Free> demangled(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status));
    if (status != 0 || !demangled) return name;
    if (style.full || is_special(name)) return readable_name(demangled.get(), style);
    return readable_name(without_return_type(demangled.get()), style);
}

std::string readable_name(std::string_view demangled, const NameStyle& style) {
    if (style.full || demangled.size() > maximal_readable_length) return std::string(demangled);
    if (auto folded = read_and_fold(demangled)) return std::move(*folded);
    return std::string(demangled);
}

}  // namespace asyncdump
