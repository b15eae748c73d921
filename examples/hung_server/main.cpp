// A small bank server that hangs: something to try asyncdump on. It is an ordinary Boost.Asio program: it
// knows nothing of asyncdump, and nothing in it was prepared to be looked at. bank.cpp says what is wrong
// with it; the dump shows it.
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

#include "bank.h"

namespace {

struct Requests {
    unsigned begun = 0, answered = 0;
};

awaitable<void> session(tcp::socket socket, Bank& bank, Requests& requests) {
    std::string received;
    for (bool connected = true; connected;) {
        const auto length =
            co_await asio::async_read_until(socket, asio::dynamic_buffer(received), '\n', use_awaitable);
        std::string request = received.substr(0, length - 1);
        received.erase(0, length);
        ++requests.begun;
        std::string answer = co_await bank.handle_request(std::move(request));
        ++requests.answered;
        answer += '\n';
        connected = co_await asio::async_write(socket, asio::buffer(answer), use_awaitable) == answer.size();
    }
}

awaitable<void> accept_sessions(tcp::acceptor& acceptor, Bank& bank, Requests& requests) {
    while (acceptor.is_open()) {
        tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
        asio::co_spawn(acceptor.get_executor(), session(std::move(socket), bank, requests), asio::detached);
    }
}

/// Every server has something like this: it notices that nothing moves, but it cannot tell why.
awaitable<void> watch_progress(const Requests& requests) {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    bool has_told = false;
    for (unsigned answered_before = 0;; answered_before = requests.answered) {
        timer.expires_after(std::chrono::milliseconds(has_told ? 60'000 : 100));
        co_await timer.async_wait(use_awaitable);
        if (!has_told && requests.answered == answered_before && requests.begun > requests.answered) {
            std::printf("hung: now run asyncdump %d\n", static_cast<int>(getpid()));
            std::fflush(stdout);
            has_told = true;
        }
    }
}

tcp::acceptor listen_on_loopback(asio::io_context& io) {
    return tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0});
}

/// A customer who sends one request and then waits patiently.
tcp::socket send_request(asio::io_context& io, const tcp::endpoint& server, const std::string& request) {
    tcp::socket socket(io);
    socket.connect(server);
    asio::write(socket, asio::buffer(request));
    return socket;
}

}  // namespace

int main() {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  // an example should not outlive the shell that tried it
    asio::io_context io(1);

    tcp::acceptor database_acceptor = listen_on_loopback(io);
    asio::co_spawn(io, run_stand_in_database(database_acceptor), asio::detached);
    Database database(io, database_acceptor.local_endpoint(), 3);
    Bank bank(io, database);

    Requests requests;
    tcp::acceptor acceptor = listen_on_loopback(io);
    asio::co_spawn(io, accept_sessions(acceptor, bank, requests), asio::detached);
    asio::co_spawn(io, watch_progress(requests), asio::detached);

    std::vector<tcp::socket> customers;
    for (const char* request : {"balance dora\n", "transfer alice bob\n", "transfer bob alice\n",
                                "transfer carol alice\n", "statement dora\n", "balance erik\n", ""}) {
        customers.push_back(send_request(io, acceptor.local_endpoint(), request));
    }
    io.run();
}
