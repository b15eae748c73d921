#include "process/descriptors.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/file_descriptor.h"
#include "process/process_info.h"

using namespace asyncdump;

namespace {

std::string describe(const FileDescriptor& descriptor) {
    return describe_descriptor(getpid(), descriptor.get());
}

int port_of(const FileDescriptor& socket) {
    sockaddr_in6 address{};
    socklen_t size = sizeof address;
    REQUIRE(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    return ntohs(address.sin6_port);  // at the same place for both families
}

FileDescriptor listener(int family) {
    FileDescriptor result(socket(family, SOCK_STREAM, 0));
    sockaddr_in v4{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
    sockaddr_in6 v6{AF_INET6, 0, 0, IN6ADDR_LOOPBACK_INIT, 0};
    const auto* const address =
        family == AF_INET ? reinterpret_cast<sockaddr*>(&v4) : reinterpret_cast<sockaddr*>(&v6);
    if (bind(result.get(), address, family == AF_INET ? sizeof v4 : sizeof v6) != 0) return {};
    REQUIRE(listen(result.get(), 1) == 0);
    return result;
}

}  // namespace

TEST_CASE("a connection shows both of its ends") {
    for (const int family : {AF_INET, AF_INET6}) {
        const std::string host = family == AF_INET ? "127.0.0.1:" : "[::1]:";
        const FileDescriptor server = listener(family);
        if (!server) {
            WARN("no IPv6 on this machine");
            continue;
        }
        CHECK(describe(server) == "listening " + host + std::to_string(port_of(server)));
        const FileDescriptor client(socket(family, SOCK_STREAM, 0));
        sockaddr_in6 address{};
        socklen_t size = sizeof address;
        getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &size);
        REQUIRE(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        const FileDescriptor accepted(accept(server.get(), nullptr, nullptr));
        const std::string near = host + std::to_string(port_of(client));
        const std::string far = host + std::to_string(port_of(server));
        CHECK(describe(client) == "socket " + near + " -> " + far);
        CHECK(describe(accepted) == "socket " + far + " <- " + near);
    }
}

TEST_CASE("datagram and local sockets") {
    const FileDescriptor datagram(socket(AF_INET, SOCK_DGRAM, 0));
    sockaddr_in address{AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {}};
    REQUIRE(bind(datagram.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    CHECK(describe(datagram) == "udp socket 127.0.0.1:" + std::to_string(port_of(datagram)));

    const FileDescriptor local(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un name{AF_UNIX, {}};
    const std::string abstract = "asyncdump test " + std::to_string(getpid());
    abstract.copy(name.sun_path + 1, sizeof name.sun_path - 1);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + abstract.size());
    REQUIRE(bind(local.get(), reinterpret_cast<sockaddr*>(&name), size) == 0);
    CHECK(describe(local) == "unix socket @" + abstract);
    REQUIRE(listen(local.get(), 1) == 0);
    CHECK(describe(local) == "listening unix socket @" + abstract);
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    const FileDescriptor first(pair[0]), second(pair[1]);
    CHECK(describe(first) == "unix socket");
}

TEST_CASE("what is no socket") {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const FileDescriptor in(ends[0]), out(ends[1]);
    CHECK(describe(in) == "pipe");
    CHECK(describe(FileDescriptor(eventfd(0, 0))) == "eventfd");
    CHECK(describe(FileDescriptor(timerfd_create(CLOCK_MONOTONIC, 0))) == "timerfd");
    CHECK(describe(FileDescriptor(epoll_create1(0))) == "epoll");
    CHECK(describe(FileDescriptor(memfd_create("cache", 0))) == "memfd cache (deleted)");
    CHECK(describe(FileDescriptor(open("/dev/null", O_RDONLY))) == "file /dev/null");
    CHECK(describe_descriptor(getpid(), 999999).empty());
    CHECK(describe_descriptor(getpid(), -1).empty());
    CHECK(describe_descriptor(-1, 0).empty());
}

TEST_CASE("tables with nonsense in them") {
    std::unordered_map<std::uint64_t, std::string> sockets;
    parse_socket_table(
        SocketTable::tcp,
        "  sl  local_address ...\n"
        "\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 11 1 x\n"
        "   1: 0100007F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 12 1 x\n"
        "   2: zz00007F:1F90 00000000:0000 0A 0:0 0:0 0 1000 0 13\n"
        "   3: 0100007F:1F90 0200007F:0050 01 00000000:00000000 00:00000000 00000000  1000 0 0 1 x\n"
        "   4: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF00000200007F:0050 01 0:0 0:0 0 0 0 "
        "14\n"
        "   5: 0100007F:1F90",
        sockets);
    CHECK(sockets == std::unordered_map<std::uint64_t, std::string>{
                         {11, "listening 127.0.0.1:8080"}, {14, "socket 127.0.0.1:22 -> 127.0.0.2:80"}});
}

TEST_CASE("many descriptors of one process") {
    const FileDescriptor server = listener(AF_INET);
    const FileDescriptor event(eventfd(0, 0));
    Descriptors descriptors(getpid());
    CHECK(descriptors.describe(event.get()) == "eventfd");
    CHECK(descriptors.describe(server.get()) == "listening 127.0.0.1:" + std::to_string(port_of(server)));
}
