#include "database.h"

Database::Database(asio::io_context& io, const tcp::endpoint& server, std::size_t connections)
    : free_(io, connections) {
    for (std::size_t count = 0; count < connections; ++count) {
        sockets_.push_back(std::make_unique<tcp::socket>(io));
        sockets_.back()->connect(server);
        release(*sockets_.back());
    }
}

awaitable<PooledConnection> Database::acquire() {
    tcp::socket* const socket = co_await free_.async_receive(use_awaitable);
    co_return PooledConnection(*this, *socket);
}

PooledConnection::~PooledConnection() {
    if (database_ != nullptr) database_->release(*socket_);
}

awaitable<std::string> PooledConnection::query(std::string statement) {
    statement += '\n';
    co_await asio::async_write(*socket_, asio::buffer(statement), use_awaitable);
    std::string answer;
    const auto length =
        co_await asio::async_read_until(*socket_, asio::dynamic_buffer(answer), '\n', use_awaitable);
    answer.resize(length - 1);
    co_return answer;
}

namespace {

awaitable<void> answer_statements(tcp::socket socket) {
    std::string received;
    for (bool connected = true; connected;) {
        const auto length =
            co_await asio::async_read_until(socket, asio::dynamic_buffer(received), '\n', use_awaitable);
        received.erase(0, length);
        asio::steady_timer disk(socket.get_executor(), std::chrono::milliseconds(5));
        co_await disk.async_wait(use_awaitable);
        const std::string answer = "100\n";
        connected = co_await asio::async_write(socket, asio::buffer(answer), use_awaitable) == answer.size();
    }
}

}  // namespace

awaitable<void> run_stand_in_database(tcp::acceptor& acceptor) {
    while (acceptor.is_open()) {
        tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
        asio::co_spawn(acceptor.get_executor(), answer_statements(std::move(socket)), asio::detached);
    }
}
