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

bool is_same_class(std::string_view described, std::string_view demangled) {
    if (described == demangled) return true;
    const auto last_scope = [](std::string_view name) {
        std::size_t depth = 0, last = std::string_view::npos;
        for (std::size_t i = 0; i + 1 < name.size(); ++i) {
            if (name[i] == '<' || name[i] == '(') ++depth;
            if ((name[i] == '>' || name[i] == ')') && depth > 0) --depth;
            if (depth == 0 && name[i] == ':' && name[i + 1] == ':') last = i;
        }
        return last;
    };
    const std::size_t scope = last_scope(demangled);
    if (scope == demangled.npos) return false;
    const std::string_view around = demangled.substr(0, scope), name = demangled.substr(scope + 2);
    const bool is_in_function = around.ends_with(')') || around.ends_with(") const") ||
                                around.ends_with(") &") || around.ends_with(") &&");
    const std::size_t described_scope = last_scope(described);
    return is_in_function &&
           (described_scope == described.npos ? described : described.substr(described_scope + 2)) == name;
}

}  // namespace asyncdump
