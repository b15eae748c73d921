// Boost.Asio and standalone Asio: awaitable<T>, co_spawn, use_awaitable.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>
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

/// The virtual table of the service that an I/O object belongs to. Every I/O object begins with a pointer to
/// its service (io_object_impl), and the service, as a polymorphic class, with one to its virtual table,
/// whose symbol names it. Its own data stand behind: a socket's or descriptor's number, a timer's expiry.
const Symbol* service_of(const WaitingFrame& frame, RemoteAddress object) {
    if (object.value() % 8 != 0) return nullptr;
    const auto service = frame.memory.read_pointer(object);
    if (!service || service->value() % 8 != 0) return nullptr;
    const auto vtable = frame.memory.read_pointer(*service);
    if (!vtable) return nullptr;
    const Module* module = frame.modules.find(*vtable);
    const Symbol* symbol = module == nullptr ? nullptr : module->vtable_at(*vtable);
    if (symbol == nullptr || symbol->name.find("4asio") == std::string_view::npos) return nullptr;
    return symbol;
}

std::string describe_time_left(std::int64_t expiry, std::int64_t now) {
    if (expiry == std::numeric_limits<std::int64_t>::max()) return ", which never expires";
    constexpr std::int64_t second = 1'000'000'000;
    constexpr std::int64_t ten_years = 10 * 365 * 24 * 3600 * second;
    const bool passed = expiry < now;
    // Both may be anything that stands in the target's memory: no overflow.
    const auto distance = passed ? static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(expiry)
                                 : static_cast<std::uint64_t>(expiry) - static_cast<std::uint64_t>(now);
    if (distance > static_cast<std::uint64_t>(ten_years)) return passed ? ", expired" : "";
    const double seconds = static_cast<double>(distance) / static_cast<double>(second);
    const std::string time =
        seconds < 10 ? fmt::format("{:.1f} s", seconds) : fmt::format("{:.0f} s", seconds);
    return passed ? fmt::format(", expired {} ago", time) : fmt::format(", {} left", time);
}

std::string describe_file(std::int32_t descriptor, const WaitingFrame& frame) {
    if (descriptor < 0) return " that is closed";
    std::string what = frame.describe_descriptor ? frame.describe_descriptor(descriptor) : "";
    constexpr std::string_view known = "socket ";
    if (what.starts_with(known)) what.erase(0, known.size());
    return what.empty() ? fmt::format(" fd {}", descriptor) : fmt::format(" fd {}, {}", descriptor, what);
}

/// The coroutine of an operation keeps the initiation object, which begins with a pointer to the I/O object
/// that the operation was called on. It can be wrong when an argument of the operation is another I/O object
/// that lies before it in the frame.
std::string describe_io_object(const WaitingFrame& frame, std::size_t& place) {
    constexpr std::size_t first = 2;  // after the resume and destroy pointers
    const bool is_known = place >= first && place < frame.words.size();
    const std::size_t end = is_known ? place + 1 : frame.words.size();
    for (std::size_t i = is_known ? place : first; i < end; ++i) {
        const RemoteAddress object(frame.words[i]);
        const Symbol* service = service_of(frame, object);
        if (service == nullptr) continue;
        place = i;
        const auto names = [&](std::string_view part) {
            return service->name.find(part) != std::string_view::npos;
        };
        if (names("deadline_timer_service") && names("chrono")) {
            const auto expiry = frame.memory.read_value<std::int64_t>(object + 8);
            if (!expiry) return "";
            return describe_time_left(*expiry, names("steady_clock") ? frame.now.steady : frame.now.system);
        }
        if (names("socket_service") || names("descriptor_service")) {
            const auto descriptor = frame.memory.read_value<std::int32_t>(object + 8);
            return descriptor ? describe_file(*descriptor, frame) : "";
        }
        return "";
    }
    return "";
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
    .describe_object = describe_io_object,
};

}  // namespace asyncdump::cpp20
