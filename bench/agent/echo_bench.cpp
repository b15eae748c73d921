// Requests a second of a Boost.Asio echo server with and without the agent.
//
//   echo_bench AGENT.so [--slices N]
//
// Two servers run side by side, one with the agent. A client puts load on one and then on the other, in short
// slices, so that both see the same machine. Printed are the medians of the slices: requests a second, and
// the server's processor time for a request, which a busy machine disturbs less.
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

namespace {

namespace asio = boost::asio;

// ---- the server ----

asio::awaitable<void> respond(asio::ip::tcp::socket& socket, const std::string& request) {
    co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
}

asio::awaitable<void> session(asio::ip::tcp::socket socket) {
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

asio::awaitable<void> listen_for_ever(asio::ip::tcp::acceptor& acceptor) {
    for (;;)
        asio::co_spawn(acceptor.get_executor(), session(co_await acceptor.async_accept(asio::use_awaitable)),
                       asio::detached);
}

int serve() {
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

constexpr int kConnections = 32;
constexpr std::size_t kRequestBytes = 256;

struct Server {
    pid_t process = -1;
    clockid_t clock = 0;
    std::vector<pollfd> connections;
    std::vector<double> requests_a_second;
    std::vector<double> microseconds_a_request;
};

double seconds(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Server start(const std::string& preload) {
    int output[2];
    if (pipe(output) != 0) std::abort();
    Server server;
    server.process = fork();
    if (server.process == 0) {
        dup2(output[1], 1);
        close(output[0]);
        if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
        execl("/proc/self/exe", "echo_bench", "--serve", nullptr);
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

/// One request is under way on each connection.
void load(Server& server, double duration) {
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

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 2 && std::strcmp(argv[1], "--serve") == 0) return serve();
    if (argc < 2) {
        std::fprintf(stderr, "usage: echo_bench AGENT.so [--slices N]\n");
        return 64;
    }
    const int slices = argc == 4 ? std::atoi(argv[3]) : 40;
    std::printf(
        "| agent | requests a second | ratio | server us a request | ratio |\n|---|---|---|---|---|\n");
    for (const char* options : {"stack=0", "stack=8"}) {
        setenv("ASYNCDUMP_AGENT", options, 1);
        Server base = start("");
        Server with_agent = start(argv[1]);
        load(base, 0.2);
        load(with_agent, 0.2);
        base.requests_a_second.clear();
        base.microseconds_a_request.clear();
        with_agent.requests_a_second.clear();
        with_agent.microseconds_a_request.clear();
        std::vector<double> ratios;
        std::vector<double> processor_ratios;
        for (int i = 0; i < slices; ++i) {
            load(i % 2 == 0 ? base : with_agent, 0.2);
            load(i % 2 == 0 ? with_agent : base, 0.2);
            ratios.push_back(with_agent.requests_a_second.back() / base.requests_a_second.back());
            processor_ratios.push_back(with_agent.microseconds_a_request.back() /
                                       base.microseconds_a_request.back());
        }
        std::printf("| none | %.0f | | %.2f | |\n| %s | %.0f | %.3f | %.2f | %.3f |\n",
                    median(base.requests_a_second), median(base.microseconds_a_request), options,
                    median(with_agent.requests_a_second), median(ratios),
                    median(with_agent.microseconds_a_request), median(processor_ratios));
        std::fflush(stdout);
        for (Server* server : {&base, &with_agent}) {
            kill(server->process, SIGKILL);
            waitpid(server->process, nullptr, 0);
            for (const auto& connection : server->connections) close(connection.fd);
        }
    }
}
