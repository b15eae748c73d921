// Boost.Asio: operations whose completion token adapts another one, that are composed of others, or that are
// the user's own. What is said of their waits has to be true: no time and no file of another object.
#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/experimental/co_spawn.hpp>
#include <boost/asio/experimental/coro.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/experimental/use_coro.hpp>

#include "truth.h"

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;
using Stream = asio::local::stream_protocol;

namespace {

std::atomic<int> arrived = 0;

awaitable<void> cancellable(asio::cancellation_signal& signal) {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(2));
    ++arrived;
    co_await timer.async_wait(asio::bind_cancellation_slot(signal.slot(), use_awaitable));  // @cancellable
}

awaitable<void> on_executor() {
    const auto executor = co_await asio::this_coro::executor;
    asio::system_timer timer(executor, std::chrono::hours(3));
    ++arrived;
    auto token = asio::bind_executor(executor, asio::as_tuple(use_awaitable));
    co_await timer.async_wait(std::move(token));  // @on_executor
}

awaitable<void> from_pipe(asio::posix::stream_descriptor descriptor) {
    std::array<char, 16> bytes;
    ++arrived;
    co_await asio::async_read(descriptor, asio::buffer(bytes), asio::as_tuple(use_awaitable));  // @from_pipe
}

awaitable<void> read_line(Stream::socket& socket) {
    asio::streambuf line;
    boost::system::error_code error;
    ++arrived;
    auto token = asio::redirect_error(use_awaitable, error);
    co_await asio::async_read_until(socket, line, '\n', std::move(token));  // @read_line
}

awaitable<void> accept_into(tcp::acceptor& acceptor) {
    tcp::socket peer(acceptor.get_executor());
    ++arrived;
    co_await acceptor.async_accept(peer, use_awaitable);  // @accept_into
}

awaitable<void> deferred_wait() {
    asio::system_timer timer(co_await asio::this_coro::executor, std::chrono::hours(4));
    ++arrived;
    co_await timer.async_wait(asio::deferred);  // @deferred_wait
}

awaitable<void> deferred_read(Stream::socket& socket) {
    std::array<char, 16> bytes;
    ++arrived;
    co_await socket.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::deferred));  // @deferred_read
}

struct UsersClock : std::chrono::steady_clock {
    using time_point = std::chrono::time_point<UsersClock, duration>;
    static time_point now() { return time_point(std::chrono::steady_clock::now().time_since_epoch() / 2); }
};

awaitable<void> by_users_clock() {
    asio::basic_waitable_timer<UsersClock> timer(co_await asio::this_coro::executor, std::chrono::hours(5));
    ++arrived;
    co_await timer.async_wait(use_awaitable);  // @by_users_clock
}

template <typename Token>
auto async_wait_twice(asio::steady_timer& timer, Token&& token) {
    return asio::async_compose<Token, void(boost::system::error_code)>(
        [&timer, step = 0](auto& self, boost::system::error_code error = {}) mutable {
            if (++step > 2) return self.complete(error);
            timer.expires_after(std::chrono::hours(step == 1 ? 0 : 6));
            timer.async_wait(std::move(self));
        },
        token, timer);
}

awaitable<void> composed() {
    asio::steady_timer timer(co_await asio::this_coro::executor);
    ++arrived;
    co_await async_wait_twice(timer, use_awaitable);  // @composed
}

template <typename Token>
auto async_users_wait(asio::steady_timer& timer, Token&& token) {
    return asio::async_initiate<Token, void(boost::system::error_code)>(
        [&timer](auto handler) { timer.async_wait(std::move(handler)); }, token);
}

awaitable<void> users_own() {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(7));
    ++arrived;
    co_await async_users_wait(timer, use_awaitable);  // @users_own
}

awaitable<void> grouped() {
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer one(executor, std::chrono::hours(8)), two(executor, std::chrono::hours(9));
    ++arrived;
    auto group = asio::experimental::make_parallel_group(one.async_wait(asio::deferred),
                                                         two.async_wait(asio::deferred));
    co_await std::move(group).async_wait(asio::experimental::wait_for_all(), use_awaitable);  // @grouped
}

asio::experimental::coro<int> numbers(asio::any_io_executor executor) {
    asio::steady_timer timer(executor, std::chrono::hours(10));
    co_yield 1;
    ++arrived;
    co_await timer.async_wait(asio::experimental::use_coro);  // @numbers
    co_yield 2;
}

asio::experimental::coro<void> summing(asio::any_io_executor executor) {
    auto source = numbers(executor);
    int sum = 0;
    while (const auto number = co_await source)  // @summing
        sum += *number;
    truth::show(sum);
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    asio::io_context io(1);
    asio::cancellation_signal signal;
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) return 70;
    Stream::socket one(io), two(io);
    asio::local::connect_pair(one, two);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    asio::co_spawn(io, cancellable(signal), asio::detached);
    asio::co_spawn(io, on_executor(), asio::detached);
    asio::co_spawn(io, from_pipe(asio::posix::stream_descriptor(io, pipe_ends[0])), asio::detached);
    asio::co_spawn(io, read_line(one), asio::detached);
    asio::co_spawn(io, accept_into(acceptor), asio::detached);
    asio::co_spawn(io, deferred_wait(), asio::detached);
    asio::co_spawn(io, deferred_read(two), asio::detached);
    asio::co_spawn(io, by_users_clock(), asio::detached);
    asio::co_spawn(io, composed(), asio::detached);
    asio::co_spawn(io, users_own(), asio::detached);
    asio::co_spawn(io, grouped(), asio::detached);
    asio::experimental::co_spawn(summing(io.get_executor()), [](const std::exception_ptr&) {});
    while (arrived < 12) io.run_one();
    io.poll();

    for (const char* const name :
         {"cancellable", "on_executor", "from_pipe", "read_line", "accept_into", "deferred_wait",
          "deferred_read", "by_users_clock", "composed", "users_own", "grouped"})
        printf("chain %s@%s\n", name, name);
    puts("chain summing@summing > numbers@numbers");
    puts("summary async_wait on steady_timer, 3[56]\\d\\d\\d s left");
    puts("summary async_wait on steady_timer, 7[12]\\d\\d s left");
    puts("summary async_wait on system_timer, 10[78]\\d\\d s left");
    printf("summary async_read on posix::stream_descriptor fd %d, pipe\n", pipe_ends[0]);
    printf("summary async_read_until on local::stream_protocol::socket fd %d, unix socket\n",
           one.native_handle());
    // Without debug information of the frame (clang above -O0) the acceptor cannot be told from its peer.
    printf("summary async_accept on tcp::acceptor( fd %d, listening 127\\.0\\.0\\.1:\\d+)?\n",
           acceptor.native_handle());
    puts("summary async_wait on system_timer, 14[34]\\d\\d s left");
    printf("summary async_read_some on local::stream_protocol::socket fd %d, unix socket\n",
           two.native_handle());
    puts("summary async_wait on basic_waitable_timer");
    puts("summary composed operation async_wait_twice");
    puts("summary operation async_users_wait");
    puts("summary async_wait on parallel_group");
    puts("count 13");
    puts("edges 1");
    truth::ready();
    const auto work = asio::make_work_guard(io);
    io.run();
}
