#include "modules/name_folding.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>

namespace asyncdump {
namespace {

/// The arguments that a template has when its user does not give them, from the last one backwards.
/// `$0` stands for the first argument and so on; alternatives are separated by `|` (compilers place const
/// differently).
struct Defaults {
    std::string_view name;
    std::size_t required;  ///< leading arguments that have no default
    std::array<std::string_view, 3> values;
};

constexpr std::string_view pair_allocator =
    "std::allocator<std::pair<$0 const, $1>>|std::allocator<std::pair<const $0, $1>>";
constexpr std::string_view traits = "std::char_traits<$0>";
constexpr std::string_view allocator = "std::allocator<$0>";

constexpr Defaults standard_defaults[] = {
    {"std::vector", 1, {allocator}},
    {"std::deque", 1, {allocator}},
    {"std::list", 1, {allocator}},
    {"std::forward_list", 1, {allocator}},
    {"std::set", 1, {"std::less<$0>", allocator}},
    {"std::multiset", 1, {"std::less<$0>", allocator}},
    {"std::map", 2, {"std::less<$0>", pair_allocator}},
    {"std::multimap", 2, {"std::less<$0>", pair_allocator}},
    {"std::unordered_set", 1, {"std::hash<$0>", "std::equal_to<$0>", allocator}},
    {"std::unordered_multiset", 1, {"std::hash<$0>", "std::equal_to<$0>", allocator}},
    {"std::unordered_map", 2, {"std::hash<$0>", "std::equal_to<$0>", pair_allocator}},
    {"std::unordered_multimap", 2, {"std::hash<$0>", "std::equal_to<$0>", pair_allocator}},
    {"std::stack", 1, {"std::deque<$0>"}},
    {"std::queue", 1, {"std::deque<$0>"}},
    {"std::priority_queue", 1, {"std::vector<$0>", "std::less<$0>"}},
    {"std::unique_ptr", 1, {"std::default_delete<$0>"}},
    {"std::basic_string", 1, {traits, allocator}},
    {"std::basic_string_view", 1, {traits}},
    {"std::basic_ios", 1, {traits}},
    {"std::basic_streambuf", 1, {traits}},
    {"std::basic_istream", 1, {traits}},
    {"std::basic_ostream", 1, {traits}},
    {"std::basic_iostream", 1, {traits}},
    {"std::basic_filebuf", 1, {traits}},
    {"std::basic_ifstream", 1, {traits}},
    {"std::basic_ofstream", 1, {traits}},
    {"std::basic_fstream", 1, {traits}},
    {"std::basic_stringbuf", 1, {traits, allocator}},
    {"std::basic_istringstream", 1, {traits, allocator}},
    {"std::basic_ostringstream", 1, {traits, allocator}},
    {"std::basic_stringstream", 1, {traits, allocator}},
    {"std::span", 1, {"18446744073709551615ul|18446744073709551615"}},
    {"std::coroutine_handle", 0, {"void"}},
    {"std::less", 0, {"void"}},
    {"std::greater", 0, {"void"}},
    {"std::equal_to", 0, {"void"}},
    {"std::plus", 0, {"void"}},
    {"std::chrono::duration", 1, {"std::ratio<1l, 1l>|std::ratio<1, 1>|std::ratio<1L, 1L>"}},
};

/// Below `boost::asio::` and, in the standalone library, `asio::`. `@` stands for that prefix.
constexpr Defaults asio_defaults[] = {
    {"awaitable", 1, {"@any_io_executor"}},
    {"use_awaitable_t", 0, {"@any_io_executor"}},
    {"basic_waitable_timer", 1, {"@wait_traits<$0>", "@any_io_executor"}},
    {"basic_deadline_timer", 1, {"@time_traits<$0>", "@any_io_executor"}},
    {"basic_socket", 1, {"@any_io_executor"}},
    {"basic_stream_socket", 1, {"@any_io_executor"}},
    {"basic_datagram_socket", 1, {"@any_io_executor"}},
    {"basic_raw_socket", 1, {"@any_io_executor"}},
    {"basic_seq_packet_socket", 1, {"@any_io_executor"}},
    {"basic_socket_acceptor", 1, {"@any_io_executor"}},
    {"ip::basic_resolver", 1, {"@any_io_executor"}},
    {"basic_signal_set", 0, {"@any_io_executor"}},
    {"basic_serial_port", 0, {"@any_io_executor"}},
    {"basic_stream_file", 0, {"@any_io_executor"}},
    {"basic_random_access_file", 0, {"@any_io_executor"}},
    {"basic_readable_pipe", 0, {"@any_io_executor"}},
    {"basic_writable_pipe", 0, {"@any_io_executor"}},
    {"posix::basic_descriptor", 0, {"@any_io_executor"}},
    {"posix::basic_stream_descriptor", 0, {"@any_io_executor"}},
};

const std::unordered_map<std::string_view, std::string_view> standard_aliases = {
    {"std::basic_string<char>", "std::string"},
    {"std::basic_string<wchar_t>", "std::wstring"},
    {"std::basic_string<char8_t>", "std::u8string"},
    {"std::basic_string<char16_t>", "std::u16string"},
    {"std::basic_string<char32_t>", "std::u32string"},
    {"std::basic_string_view<char>", "std::string_view"},
    {"std::basic_string_view<wchar_t>", "std::wstring_view"},
    {"std::basic_string_view<char8_t>", "std::u8string_view"},
    {"std::basic_string_view<char16_t>", "std::u16string_view"},
    {"std::basic_string_view<char32_t>", "std::u32string_view"},
    {"std::basic_ios<char>", "std::ios"},
    {"std::basic_streambuf<char>", "std::streambuf"},
    {"std::basic_istream<char>", "std::istream"},
    {"std::basic_ostream<char>", "std::ostream"},
    {"std::basic_iostream<char>", "std::iostream"},
    {"std::basic_filebuf<char>", "std::filebuf"},
    {"std::basic_ifstream<char>", "std::ifstream"},
    {"std::basic_ofstream<char>", "std::ofstream"},
    {"std::basic_fstream<char>", "std::fstream"},
    {"std::basic_stringbuf<char>", "std::stringbuf"},
    {"std::basic_istringstream<char>", "std::istringstream"},
    {"std::basic_ostringstream<char>", "std::ostringstream"},
    {"std::basic_stringstream<char>", "std::stringstream"},
};

const std::unordered_map<std::string_view, std::string_view> asio_aliases = {
    {"basic_waitable_timer<std::chrono::steady_clock>", "steady_timer"},
    {"basic_waitable_timer<std::chrono::system_clock>", "system_timer"},
    {"basic_stream_socket<@ip::tcp>", "ip::tcp::socket"},
    {"basic_socket_acceptor<@ip::tcp>", "ip::tcp::acceptor"},
    {"ip::basic_resolver<@ip::tcp>", "ip::tcp::resolver"},
    {"ip::basic_endpoint<@ip::tcp>", "ip::tcp::endpoint"},
    {"basic_datagram_socket<@ip::udp>", "ip::udp::socket"},
    {"ip::basic_resolver<@ip::udp>", "ip::udp::resolver"},
    {"ip::basic_endpoint<@ip::udp>", "ip::udp::endpoint"},
    {"basic_stream_socket<@local::stream_protocol>", "local::stream_protocol::socket"},
    {"basic_socket_acceptor<@local::stream_protocol>", "local::stream_protocol::acceptor"},
    {"basic_datagram_socket<@local::datagram_protocol>", "local::datagram_protocol::socket"},
    {"basic_signal_set<>", "signal_set"},
    {"basic_serial_port<>", "serial_port"},
    {"basic_stream_file<>", "stream_file"},
    {"basic_random_access_file<>", "random_access_file"},
    {"basic_readable_pipe<>", "readable_pipe"},
    {"basic_writable_pipe<>", "writable_pipe"},
    {"posix::basic_descriptor<>", "posix::descriptor"},
    {"posix::basic_stream_descriptor<>", "posix::stream_descriptor"},
};

struct Unit {
    std::string_view numerator, denominator, name;
};
constexpr Unit duration_units[] = {
    {"1", "1000000000", "nanoseconds"},
    {"1", "1000000", "microseconds"},
    {"1", "1000", "milliseconds"},
    {"1", "1", "seconds"},
    {"60", "1", "minutes"},
    {"3600", "1", "hours"},
    {"86400", "1", "days"},
};

void replace_all(std::string& text, std::string_view what, std::string_view by) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
        text.replace(at, what.size(), by);
}

bool matches(std::string_view patterns, const std::vector<std::string>& arguments, std::string_view prefix,
             std::string_view value) {
    while (true) {
        const auto bar = patterns.find('|');
        std::string expected(patterns.substr(0, bar));
        replace_all(expected, "@", prefix);
        // "$1" first: what "$0" is replaced by could contain it.
        if (arguments.size() > 1 && expected.find("$1") != std::string::npos) {
            const auto at = expected.find("$1");
            expected.replace(at, 2, arguments[1]);
        }
        if (const auto at = expected.find("$0"); at != std::string::npos && !arguments.empty())
            expected.replace(at, 2, arguments[0]);
        if (expected == value) return true;
        if (bar == std::string_view::npos) return false;
        patterns.remove_prefix(bar + 1);
    }
}

void drop_defaults(const Defaults& defaults, std::string_view prefix, std::vector<std::string>& arguments) {
    while (arguments.size() > defaults.required &&
           arguments.size() - defaults.required <= defaults.values.size()) {
        const auto pattern = defaults.values[arguments.size() - 1 - defaults.required];
        if (pattern.empty() || !matches(pattern, arguments, prefix, arguments.back())) return;
        arguments.pop_back();
    }
}

/// "1000l" (demangled), "1000L" and "1000" (DWARF names) are the same number.
std::string_view without_integer_suffix(std::string_view number) {
    const auto end = number.find_last_of("0123456789");
    return end == std::string_view::npos ? number : number.substr(0, end + 1);
}

std::optional<std::string> chrono_alias(std::string_view name, const std::vector<std::string>& arguments,
                                        bool is_libcxx) {
    if (name == "std::chrono::duration" && arguments.size() <= 2 && !arguments.empty()) {
        const std::string_view count = arguments[0];
        if (count != "long" && count != "long int" && count != "long long" && count != "long long int")
            return std::nullopt;
        if (arguments.size() == 1) return "std::chrono::seconds";
        constexpr std::string_view ratio = "std::ratio<";
        std::string_view period = arguments[1];
        const auto comma = period.find(", ");
        if (!period.starts_with(ratio) || !period.ends_with(">") || comma == std::string_view::npos)
            return std::nullopt;
        const auto numerator = without_integer_suffix(period.substr(ratio.size(), comma - ratio.size()));
        const auto denominator = without_integer_suffix(period.substr(comma + 2, period.size() - comma - 3));
        for (const Unit& unit : duration_units)
            if (unit.numerator == numerator && unit.denominator == denominator)
                return "std::chrono::" + std::string(unit.name);
    }
    if (name == "std::chrono::time_point" && arguments.size() == 2) {
        const bool is_system = arguments[0] == "std::chrono::system_clock";
        const bool is_steady = arguments[0] == "std::chrono::steady_clock";
        const std::string_view own =
            is_system && is_libcxx ? "std::chrono::microseconds" : "std::chrono::nanoseconds";
        if ((is_system || is_steady) && arguments[1] == own) return arguments[0] + "::time_point";
    }
    return std::nullopt;
}

std::string joined(std::string_view name, const std::vector<std::string>& arguments) {
    std::string text(name);
    text += '<';
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (i > 0) text += ", ";
        text += arguments[i];
    }
    text += '>';
    return text;
}

std::string fold_asio(std::string_view prefix, std::string_view name, std::vector<std::string> arguments) {
    for (const Defaults& defaults : asio_defaults)
        if (defaults.name == name) drop_defaults(defaults, prefix, arguments);

    // Executor and traits come before the signatures that every channel has, and are no trailing defaults.
    const bool is_channel =
        name == "experimental::basic_channel" || name == "experimental::basic_concurrent_channel";
    if (is_channel && arguments.size() > 2 && arguments[0] == std::string(prefix) + "any_io_executor" &&
        arguments[1].starts_with(std::string(prefix) + "experimental::channel_traits<")) {
        arguments.erase(arguments.begin(), arguments.begin() + 2);
        const auto alias = name == "experimental::basic_channel" ? "experimental::channel"
                                                                 : "experimental::concurrent_channel";
        return joined(std::string(prefix) + alias, arguments);
    }
    const bool is_context_executor = name == "io_context::basic_executor_type" && arguments.size() == 2 &&
                                     arguments[0] == "std::allocator<void>" &&
                                     without_integer_suffix(arguments[1]) == "0";
    if (is_context_executor) return std::string(prefix) + "io_context::executor_type";

    std::string key = joined(name, arguments);
    const std::string qualified_argument = fmt::format("<{}", prefix);
    replace_all(key, qualified_argument, "<@");
    if (const auto alias = asio_aliases.find(key); alias != asio_aliases.end())
        return std::string(prefix) + std::string(alias->second);
    return joined(std::string(prefix) + std::string(name), arguments);
}

const std::unordered_map<std::string_view, const Defaults*>& standard_defaults_by_name() {
    static const auto table = [] {
        std::unordered_map<std::string_view, const Defaults*> result;
        for (const Defaults& defaults : standard_defaults) result.emplace(defaults.name, &defaults);
        return result;
    }();
    return table;
}

}  // namespace

std::string fold_template(std::string_view name, std::vector<std::string> arguments, bool is_libcxx) {
    for (const std::string_view prefix : {"boost::asio::", "asio::"})
        if (name.starts_with(prefix))
            return fold_asio(prefix, name.substr(prefix.size()), std::move(arguments));
    if (!name.starts_with("std::")) return joined(name, arguments);

    const auto& table = standard_defaults_by_name();
    if (const auto defaults = table.find(name); defaults != table.end())
        drop_defaults(*defaults->second, {}, arguments);
    if (auto alias = chrono_alias(name, arguments, is_libcxx)) return *alias;
    std::string folded = joined(name, arguments);
    if (const auto alias = standard_aliases.find(folded); alias != standard_aliases.end())
        return std::string(alias->second);
    return folded;
}

bool is_inline_namespace_of_std(std::string_view identifier) {
    constexpr std::array<std::string_view, 7> names = {"__cxx11", "__1",     "__2",      "__ndk1",
                                                       "_V2",     "__n4861", "__cxx1998"};
    return std::find(names.begin(), names.end(), identifier) != names.end();
}

}  // namespace asyncdump
