#include "process/descriptors.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <unordered_set>

#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

/// A connection's end as /proc writes it: "0100007F:1F90", or 32 digits for IPv6; each group of eight is a
/// 32-bit word of the address in network order, printed as a number of this machine.
struct Endpoint {
    std::string text;
    bool is_unset = true;  ///< port 0: not connected
};

std::optional<Endpoint> parse_endpoint(std::string_view text) {
    const auto colon = text.find(':');
    if (colon != 8 && colon != 32) return std::nullopt;
    std::array<std::uint32_t, 4> words{};
    for (std::size_t i = 0; i < colon / 8; ++i) {
        const auto word = procfs::parse_number(text.substr(i * 8, 8), 16);
        if (!word) return std::nullopt;
        words[i] = static_cast<std::uint32_t>(*word);
    }
    const auto port = procfs::parse_number(text.substr(colon + 1), 16);
    if (!port) return std::nullopt;

    std::array<char, INET6_ADDRSTRLEN> address{};
    in6_addr wide{};
    std::memcpy(&wide, words.data(), sizeof wide);
    if (colon == 8) {
        ::inet_ntop(AF_INET, words.data(), address.data(), address.size());
        return Endpoint{fmt::format("{}:{}", address.data(), *port), *port == 0};
    }
    if (IN6_IS_ADDR_V4MAPPED(&wide)) {
        ::inet_ntop(AF_INET, &words[3], address.data(), address.size());
        return Endpoint{fmt::format("{}:{}", address.data(), *port), *port == 0};
    }
    ::inet_ntop(AF_INET6, &wide, address.data(), address.size());
    return Endpoint{fmt::format("[{}]:{}", address.data(), *port), *port == 0};
}

/// "  0: 0100007F:1F90 00000000:0000 0A tx:rx tr:when retransmits uid timeout INODE ..."
void parse_internet_line(SocketTable table, std::string_view line,
                         std::unordered_map<std::uint64_t, std::string>& sockets) {
    constexpr std::uint64_t listening = 0x0A;
    procfs::take_field(line);
    const auto local = parse_endpoint(procfs::take_field(line));
    const auto remote = parse_endpoint(procfs::take_field(line));
    const auto state = procfs::parse_number(procfs::take_field(line), 16);
    for (int skipped = 0; skipped < 5; ++skipped) procfs::take_field(line);
    const auto inode = procfs::parse_number(procfs::take_field(line));
    if (!local || !remote || !state || !inode || *inode == 0) return;
    const std::string_view protocol = table == SocketTable::udp ? "udp " : "";
    if (table == SocketTable::tcp && *state == listening)
        sockets[*inode] = fmt::format("listening {}", local->text);
    else if (remote->is_unset)
        sockets[*inode] = fmt::format("{}socket {}", protocol, local->text);
    else
        sockets[*inode] = fmt::format("{}socket {} -> {}", protocol, local->text, remote->text);
}

/// "ffff9f5b: 00000002 00000000 00010000 0001 01 INODE [/run/x]"
void parse_local_line(std::string_view line, std::unordered_map<std::uint64_t, std::string>& sockets) {
    constexpr std::uint64_t accepts_connections = 0x10000;
    for (int skipped = 0; skipped < 3; ++skipped) procfs::take_field(line);
    const auto flags = procfs::parse_number(procfs::take_field(line), 16);
    for (int skipped = 0; skipped < 2; ++skipped) procfs::take_field(line);
    const auto inode = procfs::parse_number(procfs::take_field(line));
    if (!flags || !inode || *inode == 0) return;
    std::string text = (*flags & accepts_connections) != 0 ? "listening unix socket" : "unix socket";
    if (line.starts_with(' ')) text += line;  // the name, which may hold blanks itself
    sockets[*inode] = std::move(text);
}

/// "anon_inode:[eventfd]", "anon_inode:inotify"
std::string describe_anonymous(std::string_view name) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    if (name == "eventpoll") return "epoll";
    return std::string(name);
}

/// The number in "socket:[4711]".
std::optional<std::uint64_t> bracketed_number(std::string_view text) {
    const auto open = text.find('[');
    if (open == text.npos || !text.ends_with(']')) return std::nullopt;
    return procfs::parse_number(text.substr(open + 1, text.size() - open - 2));
}

std::string_view port_of(std::string_view endpoint) {
    return endpoint.substr(std::min(endpoint.rfind(':'), endpoint.size()));
}

/// A connection whose local port is listened on was accepted. A listening socket that was closed since leaves
/// its connections looking as if they had been made from here.
void mark_accepted_sockets(std::unordered_map<std::uint64_t, std::string>& sockets) {
    constexpr std::string_view listening = "listening ", connected = "socket ", arrow = " -> ";
    std::unordered_set<std::string> ports;
    for (const auto& [inode, text] : sockets) {
        if (text.starts_with(listening)) ports.emplace(port_of(text));
    }
    for (auto& [inode, text] : sockets) {
        const auto at = text.find(arrow);
        if (!text.starts_with(connected) || at == std::string::npos) continue;
        if (ports.contains(std::string(port_of(std::string_view(text).substr(0, at)))))
            text.replace(at, arrow.size(), " <- ");
    }
}

}  // namespace

void parse_socket_table(SocketTable table, std::string_view text,
                        std::unordered_map<std::uint64_t, std::string>& sockets) {
    procfs::take_line(text);  // the titles
    while (!text.empty()) {
        const auto line = procfs::take_line(text);
        if (table == SocketTable::local)
            parse_local_line(line, sockets);
        else
            parse_internet_line(table, line, sockets);
    }
}

void Descriptors::read_socket_tables() {
    socket_tables_read_ = true;
    // /proc/PID/net shows the network namespace of that process, not ours.
    const pid_t tid = living_thread(pid_);
    constexpr std::pair<const char*, SocketTable> tables[] = {{"net/tcp", SocketTable::tcp},
                                                              {"net/tcp6", SocketTable::tcp},
                                                              {"net/udp", SocketTable::udp},
                                                              {"net/udp6", SocketTable::udp},
                                                              {"net/unix", SocketTable::local}};
    for (const auto& [name, table] : tables) {
        if (const auto text = procfs::read_file(procfs::path(tid, name)))
            parse_socket_table(table, *text, sockets_);
    }
    mark_accepted_sockets(sockets_);
}

std::string Descriptors::describe(int descriptor) {
    const pid_t tid = living_thread(pid_);
    const std::string target = procfs::read_link(procfs::path(tid, fmt::format("fd/{}", descriptor)));
    const std::string_view name = target;
    constexpr std::string_view anonymous = "anon_inode:";
    constexpr std::string_view memory_file = "/memfd:";
    if (name.empty()) return {};
    if (name.starts_with("socket:")) {
        if (!socket_tables_read_) read_socket_tables();
        const auto inode = bracketed_number(name);
        const auto found = inode ? sockets_.find(*inode) : sockets_.end();
        return found == sockets_.end() ? "socket" : found->second;
    }
    if (name.starts_with("pipe:")) return "pipe";
    if (name.starts_with(anonymous)) return describe_anonymous(name.substr(anonymous.size()));
    if (name.starts_with(memory_file)) return fmt::format("memfd {}", name.substr(memory_file.size()));
    return fmt::format("file {}", name);
}

std::string describe_descriptor(pid_t pid, int descriptor) {
    return Descriptors(pid).describe(descriptor);
}

}  // namespace asyncdump
