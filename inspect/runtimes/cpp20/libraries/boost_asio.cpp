// Boost.Asio and standalone Asio: awaitable<T>, co_spawn, use_awaitable.
#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>

#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/libraries/mangled_scope.h"
#include "runtimes/cpp20/wait_kinds.h"

namespace asyncdump::cpp20 {
namespace {

/// The first template argument of `text`, which begins just behind its '<'.
std::string_view first_argument(std::string_view text) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '<' || text[i] == '(') ++depth;
        if (depth == 0 && (text[i] == ',' || text[i] == '>')) return text.substr(0, i);
        if (text[i] == '>' || text[i] == ')') --depth;
    }
    return text;
}

/// Where the last component of a qualified name begins, not looking into template arguments.
std::size_t last_component(std::string_view name) {
    int depth = 0;
    std::size_t begin = 0;
    for (std::size_t i = 0; i + 1 < name.size(); ++i) {
        if (name[i] == '<' || name[i] == '(') ++depth;
        if (name[i] == '>' || name[i] == ')') --depth;
        if (depth == 0 && name[i] == ':' && name[i + 1] == ':') begin = i + 2;
    }
    return begin;
}

std::string short_name(std::string_view type) {
    for (const std::string_view scope : {"boost::asio::", "asio::", "experimental::", "ip::", "detail::"}) {
        if (type.starts_with(scope)) type.remove_prefix(scope.size());
    }
    return std::string(type.substr(0, type.find('<')));
}

/// The function that the user called, from the name of the class that starts it.
std::string operation_of(std::string_view initiation, bool is_stream) {
    constexpr std::string_view prefix = "initiate_";
    std::string_view name = initiation.substr(0, initiation.find('<'));
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> families = {{
        {"async_read_until", "async_read_until"},
        {"async_read_at", "async_read_at"},
        {"async_read", "async_read"},
        {"async_write_at", "async_write_at"},
        {"async_write", "async_write"},
        {"async_range_connect", "async_connect"},
    }};
    for (const auto& [begin, operation] : families) {
        if (name.starts_with(begin) && !name.ends_with("_some")) return std::string(operation);
    }
    if (name == "async_move_accept") return "async_accept";
    if (is_stream && name == "async_receive") return "async_read_some";
    if (is_stream && name == "async_send") return "async_write_some";
    return std::string(name);
}

/// An operation that is awaited with use_awaitable runs as async_result<...>::initiate<INITIATION, ...>, and
/// INITIATION names the operation and its object: boost::asio::steady_timer::initiate_async_wait.
std::optional<Awaiting> describe_operation(std::string_view function) {
    constexpr std::string_view marker = "::initiate<";
    const auto at = function.find(marker);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view initiation = first_argument(function.substr(at + marker.size()));
    const std::size_t name_begin = last_component(initiation);
    const std::string_view name = initiation.substr(name_begin);
    if (!name.starts_with("initiate_")) return std::nullopt;

    Awaiting awaiting;
    awaiting.type = std::string(initiation);
    std::string_view object = name_begin >= 2 ? initiation.substr(0, name_begin - 2) : "";
    if (object.ends_with("::detail") && name.find('<') != std::string_view::npos) {
        object = first_argument(
            name.substr(name.find('<') + 1));  // a composed operation: its stream is the argument
    }
    const bool is_stream = short_name(object).find("socket") != std::string::npos;
    awaiting.kind = wait_kind_by_name(object);
    if (awaiting.kind == WaitKind::unknown) awaiting.kind = WaitKind::other;
    awaiting.summary = fmt::format("{} on {}", operation_of(name, is_stream), short_name(object));
    return awaiting;
}

}  // namespace

const Library boost_asio = {
    .name = "Boost.Asio",
    .is_internal =
        [](std::string_view symbol) {
            return is_in_scope(symbol, {"5boost4asio", "4asio"});
        },
    .stands_for_its_leaf =
        [](std::string_view symbol) { return symbol.find("co_spawn_entry_point") != std::string_view::npos; },
    .describe_wait = describe_operation,
};

}  // namespace asyncdump::cpp20
