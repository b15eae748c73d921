// Boost.Asio and standalone Asio: awaitable<T>, co_spawn, use_awaitable.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtimes/cpp20/libraries/libraries.h"
#include "runtimes/cpp20/libraries/mangled_scope.h"
#include "runtimes/cpp20/wait_kinds.h"

namespace asyncdump::cpp20 {
namespace {

/// Begins a list of template arguments: text behind a '<'. The first of them, and what follows it.
struct FirstArgument {
    std::string_view argument, others;
};

FirstArgument first_argument(std::string_view text) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '<' || text[i] == '(') ++depth;
        if (depth == 0 && (text[i] == ',' || text[i] == '>')) {
            const bool is_last = text[i] == '>' || i + 2 > text.size();
            return {text.substr(0, i), is_last ? "" : text.substr(i + 2)};
        }
        if (text[i] == '>' || text[i] == ')') --depth;
    }
    return {text, ""};
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

bool is_in_asio(std::string_view type) {
    return type.starts_with("boost::asio::") || type.starts_with("asio::");
}

std::string short_name(std::string_view type) {
    for (const std::string_view scope : {"boost::asio::", "asio::", "experimental::", "ip::", "detail::"}) {
        if (type.starts_with(scope)) type.remove_prefix(scope.size());
    }
    return std::string(type.substr(0, type.find('<')));
}

/// The function that the user called, from the name of the class that starts it.
std::string function_of(std::string_view initiation, bool is_stream) {
    constexpr std::string_view prefix = "initiate_";
    std::string_view name = initiation.substr(0, initiation.find('<'));
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 7> families = {{
        {"async_read_until", "async_read_until"},
        {"async_read_at", "async_read_at"},
        {"async_read", "async_read"},
        {"async_write_at", "async_write_at"},
        {"async_write", "async_write"},
        {"async_range_connect", "async_connect"},
        {"async_iterator_connect", "async_connect"},
    }};
    for (const auto& [begin, operation] : families) {
        if (name.starts_with(begin) && name.find("_some") == std::string_view::npos)
            return std::string(operation);
    }
    if (name == "async_move_accept") return "async_accept";
    if (is_stream && name == "async_receive") return "async_read_some";
    if (is_stream && name == "async_send") return "async_write_some";
    return std::string(name);
}

/// Tokens that adapt another one (as_tuple, redirect_error, bind_cancellation_slot, ...) wrap the initiation
/// in a class of their own, async_result<as_tuple_t<...>, ...>::init_wrapper<INITIATION>, one in the other.
std::string_view without_wrappers(std::string_view initiation) {
    constexpr std::string_view wrapper = "init_wrapper<";
    while (true) {
        const std::string_view name = initiation.substr(last_component(initiation));
        if (!name.starts_with(wrapper)) return initiation;
        initiation = first_argument(name.substr(wrapper.size())).argument;
    }
}

/// What a class is called by those who wrote it: a lambda by the function that it stands in.
std::string name_of_class(std::string_view type) {
    const auto is_nameless = [](std::string_view name) {
        return name.starts_with("{lambda") || name.starts_with("{unnamed") || name.starts_with("'lambda") ||
               name.starts_with("$_") || name.starts_with("operator()");
    };
    std::size_t begin = last_component(type);
    while (begin >= 2 && is_nameless(type.substr(begin))) {
        type = type.substr(0, begin - 2);
        begin = last_component(type);
    }
    std::string_view name = type.substr(begin);
    if (is_nameless(name)) return "";
    name = name.substr(0, name.find_first_of("<("));
    if (const auto return_type = name.rfind(' '); return_type != std::string_view::npos)
        name.remove_prefix(return_type + 1);
    return std::string(name);
}

/// An operation by the type of its initiation, the function object that starts it:
/// boost::asio::steady_timer::initiate_async_wait.
struct Operation {
    std::string_view name;    ///< initiate_async_wait
    std::string_view object;  ///< the type of the I/O object or stream; "" when the name does not say it
};

std::optional<Operation> operation_of(std::string_view initiation) {
    const std::size_t name_begin = last_component(initiation);
    Operation operation;
    operation.name = initiation.substr(name_begin);
    if (!operation.name.starts_with("initiate_")) return std::nullopt;
    if (name_begin >= 2) operation.object = initiation.substr(0, name_begin - 2);
    if (operation.object.ends_with("::detail")) {
        // A function of the namespace: one that is composed of others has its stream as the argument, others
        // (post, co_spawn) an executor.
        const bool has_stream = operation.name.starts_with("initiate_async_");
        const auto arguments = operation.name.find('<');
        operation.object = has_stream && arguments != std::string_view::npos
                               ? first_argument(operation.name.substr(arguments + 1)).argument
                               : "";
    }
    return operation;
}

/// `arguments` are template arguments that begin with an initiation, and go on with what is given to it.
Awaiting describe_initiation(std::string_view arguments) {
    const auto [wrapped, others] = first_argument(arguments);
    const std::string_view initiation = without_wrappers(wrapped);
    Awaiting awaiting;
    awaiting.type = std::string(initiation);
    awaiting.kind = WaitKind::other;
    const auto operation = operation_of(initiation);
    const bool is_composed = operation && operation->name.starts_with("initiate_composed_op");
    if (!operation || is_composed) {
        // What the user's own operation waits for at the moment is not known.
        const std::string author = name_of_class(is_composed ? first_argument(others).argument : initiation);
        const std::string_view what = is_composed ? "composed operation" : "operation";
        awaiting.summary = author.empty() ? fmt::format("a{} {}", is_composed ? "" : "n", what)
                                          : fmt::format("{} {}", what, author);
        return awaiting;
    }
    const std::string object = short_name(operation->object);
    const std::string function = function_of(operation->name, object.find("socket") != std::string::npos);
    awaiting.kind = wait_kind_by_name(operation->object);
    if (awaiting.kind == WaitKind::unknown) awaiting.kind = WaitKind::other;
    awaiting.summary = object.empty() ? function : fmt::format("{} on {}", function, object);
    return awaiting;
}

/// An operation that is awaited with use_awaitable runs as async_result<...>::initiate<INITIATION, ...>, one
/// with experimental::use_coro as initiate_impl.
std::optional<Awaiting> describe_operation(std::string_view function) {
    for (const std::string_view marker : {"::initiate<", "::initiate_impl<"}) {
        const auto at = function.find(marker);
        if (at != std::string_view::npos) return describe_initiation(function.substr(at + marker.size()));
    }
    return std::nullopt;
}

constexpr std::string_view awaiter_class = "detail::awaitable_async_op<";

bool is_deferred_awaiter(std::string_view type) {
    return is_in_asio(type) && type.substr(type.find("asio::") + 6).starts_with(awaiter_class);
}

/// A deferred operation is awaited without a coroutine of its own:
/// awaitable_async_op<SIGNATURE, deferred_async_operation<SIGNATURE, INITIATION, ...>, EXECUTOR>.
std::optional<Awaiting> describe_deferred(std::string_view awaiter) {
    if (!is_deferred_awaiter(awaiter)) return std::nullopt;
    const std::string_view arguments = awaiter.substr(awaiter.find(awaiter_class) + awaiter_class.size());
    const std::string_view type = first_argument(first_argument(arguments).others).argument;
    constexpr std::string_view deferred = "deferred_async_operation<";
    if (const std::string_view name = type.substr(last_component(type)); name.starts_with(deferred))
        return describe_initiation(first_argument(name.substr(deferred.size())).others);
    Awaiting awaiting;
    awaiting.type = std::string(type);
    awaiting.kind = WaitKind::other;
    awaiting.summary = "an operation";
    return awaiting;
}

/// A service of asio, by the mangled name of its virtual table.
struct Service {
    std::string_view name;       ///< without scopes
    std::string_view arguments;  ///< the mangled template arguments, and what follows
};

/// The class that a virtual table belongs to, when it is asio's. Others have the names of services in theirs:
/// cancellation_handler<deadline_timer_service<...>::op_cancellation>.
std::optional<Service> service_of_vtable(std::string_view symbol) {
    constexpr std::string_view prefix = "_ZTVN";
    if (!symbol.starts_with(prefix)) return std::nullopt;
    symbol.remove_prefix(prefix.size());
    if (!symbol.starts_with("5boost4asio") && !symbol.starts_with("4asio")) return std::nullopt;
    Service service;
    while (!symbol.empty() && symbol.front() >= '0' && symbol.front() <= '9') {
        std::size_t length = 0;
        const char* const end = symbol.data() + symbol.size();
        const auto [rest, error] = std::from_chars(symbol.data(), end, length);
        if (error != std::errc() || length > static_cast<std::size_t>(end - rest)) return std::nullopt;
        service.name = {rest, length};
        symbol = {rest + length, static_cast<std::size_t>(end - rest) - length};
    }
    service.arguments = symbol;
    return service;
}

/// The service that an I/O object belongs to. Every I/O object begins with a pointer to its service
/// (io_object_impl), and the service, as a polymorphic class, with one to its virtual table, whose symbol
/// names it. Its own data stand behind: a socket's or descriptor's number, a timer's expiry.
std::optional<Service> service_of(const WaitingFrame& frame, RemoteAddress object) {
    if (object.value() % 8 != 0) return std::nullopt;
    const auto service = frame.memory.read_pointer(object);
    if (!service || service->value() % 8 != 0) return std::nullopt;
    const auto vtable = frame.memory.read_pointer(*service);
    if (!vtable) return std::nullopt;
    const Module* module = frame.modules.find(*vtable);
    const Symbol* symbol = module == nullptr ? nullptr : module->vtable_at(*vtable);
    return symbol == nullptr ? std::nullopt : service_of_vtable(symbol->name);
}

/// What stands in an I/O object behind the pointer to its service.
enum class ObjectData : std::uint8_t { none, expiry, descriptor };

ObjectData data_of(const Service& service) {
    if (service.name == "deadline_timer_service") return ObjectData::expiry;
    for (const std::string_view name : {"socket_service", "descriptor_service", "serial_port_service"}) {
        if (service.name.ends_with(name)) return ObjectData::descriptor;
    }
    return ObjectData::none;
}

ObjectData data_of(const Operation& operation) {
    const std::string_view object = operation.object.substr(0, operation.object.find('<'));
    const auto names = [&](std::string_view part) { return object.find(part) != std::string_view::npos; };
    if (names("timer")) return ObjectData::expiry;
    for (const std::string_view part :
         {"socket", "acceptor", "descriptor", "stream", "pipe", "serial_port"}) {
        if (names(part)) return ObjectData::descriptor;
    }
    if (operation.name.find("_connect") != std::string_view::npos) return ObjectData::descriptor;
    // A stream of the user's: async_read(stream, ...).
    return !is_in_asio(object) && operation.name.starts_with("initiate_async_") ? ObjectData::descriptor
                                                                                : ObjectData::none;
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

/// The expiry of a timer, in nanoseconds of its clock, and what this clock shows now.
std::string describe_expiry(const WaitingFrame& frame, const Service& service, RemoteAddress object) {
    const auto expiry = frame.memory.read_value<std::int64_t>(object + 8);
    if (!expiry) return "";
    // Clocks of libstdc++ and libc++; users have their own.
    const auto is_clock = [&](std::string_view mangled) {
        return service.arguments.find(fmt::format("18chrono_time_traitsIN{}E", mangled)) !=
               std::string_view::npos;
    };
    if (is_clock("St6chrono3_V212steady_clock") || is_clock("St3__16chrono12steady_clock"))
        return describe_time_left(*expiry, frame.now.steady);
    if (is_clock("St6chrono3_V212system_clock")) return describe_time_left(*expiry, frame.now.system);
    constexpr std::int64_t nanoseconds = 1000;  // in what libc++'s system_clock counts
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max() / nanoseconds;
    if (is_clock("St3__16chrono12system_clock") && *expiry >= 0 && *expiry <= largest)
        return describe_time_left(*expiry * nanoseconds, frame.now.system);
    return "";
}

/// A word that leads to the I/O object of the wait.
struct ObjectWord {
    std::size_t index = 0;
    RemoteAddress object;
    Service service;
};

/// The first of the words that leads to an I/O object with such data.
std::optional<ObjectWord> find_object(const WaitingFrame& frame, std::span<const std::uint64_t> words,
                                      ObjectData data) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto service = service_of(frame, RemoteAddress(words[i]));
        if (service && data_of(*service) == data) return ObjectWord{i, RemoteAddress(words[i]), *service};
    }
    return std::nullopt;
}

/// The awaiter of a deferred operation leads to the operation and then to the promise of the coroutine that
/// awaits it. The operation begins with its initiation, and the initiation with its I/O object, or, when it
/// is wrapped, with what the tokens bind. What an earlier await of the function has left in the frame looks
/// the same.
std::optional<ObjectWord> object_of_deferred(const WaitingFrame& frame, const Operation& operation) {
    constexpr std::uint32_t most_bytes = 64;  // of the operation
    if (!is_in_asio(operation.object)) return std::nullopt;
    const FrameLayout& layout = *frame.view.layout;
    const RemoteAddress promise = frame.address + (layout.promise_begin != 0 ? layout.promise_begin : 16U);
    std::optional<ObjectWord> unique;
    std::vector<std::uint64_t> scratch;
    for (std::size_t i = 2; i + 1 < frame.words.size(); ++i) {
        if (frame.words[i + 1] != promise.value()) continue;
        if (frame.view.awaiter->is_certain && frame.view.awaiter->live.begin != i * 8) continue;
        const RemoteAddress deferred(frame.words[i]);
        const auto found = find_object(
            frame, frame.memory.read_words({deferred, deferred + most_bytes}, scratch), data_of(operation));
        if (!found) continue;
        if (unique && unique->object != found->object) return std::nullopt;
        unique = found;
    }
    return unique;
}

/// The coroutine of an operation keeps the initiation as a parameter. Where debug information does not tell
/// its place, the I/O object is certain only when the arguments of the operation (the socket that
/// async_accept is given) are none, too.
std::optional<ObjectWord> object_of_initiation(const WaitingFrame& frame, const Operation& operation) {
    const ObjectData data = data_of(operation);
    for (const FrameField& member : frame.view.layout->members) {
        if (member.name != "initiation" || member.role != FrameField::Role::parameter) continue;
        const std::size_t begin = member.offset / 8, end = (member.offset + member.size) / 8;
        if (member.offset % 8 != 0 || end > frame.words.size()) return std::nullopt;
        auto found = find_object(frame, frame.words.subspan(begin, end - begin), data);
        if (found) found->index += begin;
        return found;
    }
    if (!is_in_asio(operation.object)) return std::nullopt;
    constexpr std::size_t first = 2;  // after the resume and destroy pointers
    std::optional<ObjectWord> unique;
    for (std::size_t begin = first; begin < frame.words.size();) {
        auto found = find_object(frame, frame.words.subspan(begin), data);
        if (!found) break;
        found->index += begin;
        begin = found->index + 1;
        if (unique && unique->object != found->object) return std::nullopt;
        if (!unique) unique = found;
    }
    return unique;
}

std::string describe_io_object(const WaitingFrame& frame, const Awaiting& wait, std::size_t& place) {
    const auto operation = operation_of(wait.type);
    if (!operation || data_of(*operation) == ObjectData::none) return "";
    std::optional<ObjectWord> found;
    if (place != 0 && place < frame.words.size()) {
        found = find_object(frame, frame.words.subspan(place, 1), data_of(*operation));
    } else if (frame.view.point != nullptr && is_deferred_awaiter(frame.view.point->awaiter_type)) {
        found = object_of_deferred(frame, *operation);
    } else {
        found = object_of_initiation(frame, *operation);
        if (found) place = found->index;
    }
    if (!found) return "";
    if (data_of(*operation) == ObjectData::expiry)
        return describe_expiry(frame, found->service, found->object);
    const auto descriptor = frame.memory.read_value<std::int32_t>(found->object + 8);
    return descriptor ? describe_file(*descriptor, frame) : "";
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
    .describe_awaiter = describe_deferred,
    .describe_object = describe_io_object,
};

}  // namespace asyncdump::cpp20
