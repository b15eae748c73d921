#include "base/function_name.h"

namespace asyncdump {
namespace {

constexpr std::size_t longest_name = 80;

/// Names are cut at a character's beginning: UTF-8 continuation bytes are 10xxxxxx.
std::string shortened(std::string_view name) {
    if (name.size() <= longest_name) return std::string(name);
    std::size_t end = longest_name;
    while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
    return std::string(name.substr(0, end)) + "...";
}

/// "(anonymous namespace)::Server::session<int>" for "(anonymous
/// namespace)::Server::session<int>(tcp::socket&) const".
std::string_view without_parameters(std::string_view name) {
    const auto end = name.rfind(')');
    if (end == name.npos || name.find("lambda") != name.npos || name.ends_with("::")) return name;
    int depth = 0;
    for (std::size_t i = end + 1; i-- > 0;) {
        if (name[i] == ')') ++depth;
        if (name[i] == '(' && --depth == 0) return i == 0 ? name : name.substr(0, i);
    }
    return name;
}

}  // namespace

std::string short_function_name(std::string_view name) {
    name = without_parameters(name);
    constexpr std::string_view anonymous = "(anonymous namespace)::";
    if (name.starts_with(anonymous)) name.remove_prefix(anonymous.size());
    return shortened(name);
}

}  // namespace asyncdump
