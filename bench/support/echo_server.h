// A Boost.Asio echo server in a process of its own, and a client that puts load on it: for benchmarks. The
// server is the benchmark's own executable with the one argument `--serve`.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace echo {

namespace asio = boost::asio;

// ---- the server ----

inline asio::awaitable<void> respond(asio::ip::tcp::socket& socket, const std::string& request) {
    co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
}

inline asio::awaitable<void> session(asio::ip::tcp::socket socket) {
    try {
        char data[512];
        for (;;) {
            const std::size_t length =
                co_await socket.async_read_some(asio::buffer(data), asio::use_awaitable);
            co_await respond(socket, std::string(data, length));
        }
    } catch (const std::exception&) {
        // The client has gone.
    }
}

inline asio::awaitable<void> listen_for_ever(asio::ip::tcp::acceptor& acceptor) {
    for (;;)
        asio::co_spawn(acceptor.get_executor(), session(co_await acceptor.async_accept(asio::use_awaitable)),
                       asio::detached);
}

inline int serve() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    asio::io_context context(1);
    asio::ip::tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    std::printf("%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(context, listen_for_ever(acceptor), asio::detached);
    context.run();
    return 0;
}

// ---- the client ----

inline constexpr int kConnections = 32;
inline constexpr std::size_t kRequestBytes = 256;

struct Server {
    pid_t process = -1;
    clockid_t clock = 0;
    std::vector<pollfd> connections;
    std::vector<double> requests_a_second;
    std::vector<double> microseconds_a_request;
};

inline double seconds(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

/// `preload`: a shared object for LD_PRELOAD, or "".
inline Server start(const std::string& preload) {
    int output[2];
    if (pipe(output) != 0) std::abort();
    Server server;
    server.process = fork();
    if (server.process == 0) {
        dup2(output[1], 1);
        close(output[0]);
        if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
        execl("/proc/self/exe", "echo_server", "--serve", nullptr);
        _exit(127);
    }
    close(output[1]);
    char text[16] = {};
    if (read(output[0], text, sizeof text - 1) <= 0) std::abort();
    close(output[0]);
    if (clock_getcpuclockid(server.process, &server.clock) != 0) std::abort();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(text)));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < kConnections; ++i) {
        const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(connection, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::abort();
        const int yes = 1;
        setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        server.connections.push_back({connection, POLLIN, 0});
    }
    return server;
}

/// Loads it for so many seconds, with one request under way on each connection.
inline void load(Server& server, double duration) {
    char data[kRequestBytes] = {};
    for (const auto& connection : server.connections)
        if (write(connection.fd, data, sizeof data) != static_cast<ssize_t>(sizeof data)) std::abort();
    const double begin = seconds(CLOCK_MONOTONIC);
    const double processor_begin = seconds(server.clock);
    std::uint64_t requests = 0;
    double now = begin;
    while (now - begin < duration) {
        poll(server.connections.data(), server.connections.size(), 1000);
        for (const auto& connection : server.connections) {
            if ((connection.revents & POLLIN) == 0) continue;
            if (read(connection.fd, data, sizeof data) != static_cast<ssize_t>(sizeof data)) std::abort();
            ++requests;
            if (write(connection.fd, data, sizeof data) != static_cast<ssize_t>(sizeof data)) std::abort();
        }
        now = seconds(CLOCK_MONOTONIC);
    }
    const double processor = seconds(server.clock) - processor_begin;
    for (const auto& connection : server.connections)
        if (recv(connection.fd, data, sizeof data, MSG_WAITALL) != static_cast<ssize_t>(sizeof data))
            std::abort();
    server.requests_a_second.push_back(static_cast<double>(requests) / (now - begin));
    server.microseconds_a_request.push_back(processor * 1e6 / static_cast<double>(requests));
}

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

inline void stop(Server& server) {
    kill(server.process, SIGKILL);
    waitpid(server.process, nullptr, 0);
    for (const auto& connection : server.connections) close(connection.fd);
}

/// The first thing in main().
inline bool is_server(int argc, char** argv) {
    return argc == 2 && std::strcmp(argv[1], "--serve") == 0;
}

}  // namespace echo
