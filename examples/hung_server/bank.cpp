#include "bank.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <sstream>

using namespace boost::asio::experimental::awaitable_operators;

awaitable<AsyncMutex::Guard> AsyncMutex::lock() {
    co_await token_.async_receive(use_awaitable);
    co_return Guard(*this);
}

awaitable<std::string> Bank::balance(std::string account) {
    auto connection = co_await database_.acquire();
    co_return co_await connection.query("select balance from accounts where name = '" + account + "'");
}

awaitable<std::string> Bank::history(std::string account) {
    auto connection = co_await database_.acquire();
    co_return co_await connection.query("select * from transfers where account = '" + account + "'");
}

awaitable<std::string> Bank::statement(std::string account) {
    const auto [total, transfers] = co_await (balance(account) && history(account));
    co_return total + " after " + transfers;
}

// The bug: the two locks are taken in the order of the request. "transfer alice bob" and "transfer bob alice"
// at the same time each get their first lock, and then wait for the other's, for ever. Both keep their
// connections meanwhile: soon the pool is empty, and requests hang that have nothing to do with alice or bob.
awaitable<std::string> Bank::transfer(std::string from, std::string to) {
    auto connection = co_await database_.acquire();
    auto source = co_await lock_of(from).lock();
    const auto available =
        co_await connection.query("select balance from accounts where name = '" + from + "'");
    auto destination = co_await lock_of(to).lock();
    co_return co_await connection.query("call transfer('" + from + "', '" + to + "', " + available + ")");
}

awaitable<std::string> Bank::handle_request(std::string request) {
    std::istringstream words(request);
    std::string command, first, second;
    words >> command >> first >> second;
    if (command == "balance") co_return co_await balance(first);
    if (command == "transfer") co_return co_await transfer(first, second);
    if (command == "statement") co_return co_await statement(first);
    co_return "error: unknown request";
}
