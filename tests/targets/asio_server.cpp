// Boost.Asio coroutines in the shapes of real servers, one a subcommand.
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <cstring>
#include <thread>

#include "truth.h"

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

namespace {

/// Coroutines that have come to the await at which the truth shows them.
std::atomic<int> arrived = 0;

void run_until_arrived(asio::io_context& io, int expected) {
    while (arrived < expected) io.run_one();
}

[[noreturn]] void run_for_ever(asio::io_context& io) {
    const auto work = asio::make_work_guard(io);
    puts("thread asio boost::asio::io_context::run");
    truth::ready();
    io.run();
    std::abort();
}

awaitable<void> wait_for_ever() {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(1));
    ++arrived;
    co_await timer.async_wait(use_awaitable);  // @wait_for_ever
}

// ---- sessions: an acceptor, three sessions at different depths, timers

awaitable<std::size_t> read_request(tcp::socket& socket, char* buffer, std::size_t size) {
    ++arrived;
    const auto length =
        co_await socket.async_read_some(asio::buffer(buffer, size), use_awaitable);  // @read_request
    co_return length;
}

awaitable<bool> handle_request(tcp::socket& socket) {
    char buffer[256];
    const auto length = co_await read_request(socket, buffer, sizeof buffer);  // @handle_request
    co_return length > 0;
}

awaitable<void> session(tcp::socket socket) {
    for (bool open = true; open;) {
        open = co_await handle_request(socket);  // @session
        co_await asio::async_write(socket, asio::buffer("ok\n", 3), use_awaitable);
    }
}

awaitable<void> listener(tcp::acceptor& acceptor) {
    while (true) {
        ++arrived;
        tcp::socket socket = co_await acceptor.async_accept(use_awaitable);  // @listener
        asio::co_spawn(acceptor.get_executor(), session(std::move(socket)), asio::detached);
    }
}

awaitable<int> level_4() {
    co_await wait_for_ever();  // @level_4
    co_return 4;
}

awaitable<int> level_3() {
    co_return co_await level_4() + 1;  // @level_3
}

awaitable<int> level_2() {
    co_return co_await level_3() + 1;  // @level_2
}

awaitable<void> level_1() {
    const int result = co_await level_2();  // @level_1
    if (result == 0) co_await wait_for_ever();
}

void sessions() {
    asio::io_context io(1);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    asio::co_spawn(io, listener(acceptor), asio::detached);
    asio::co_spawn(io, wait_for_ever(), asio::detached);
    asio::co_spawn(io, level_1(), asio::detached);
    std::vector<tcp::socket> clients;
    for (int count = 0; count < 3; ++count) {
        clients.emplace_back(io);
        clients.back().connect(acceptor.local_endpoint());
    }
    // The first session has answered once before it waits again.
    clients[0].write_some(asio::buffer("hello", 5));
    run_until_arrived(io, 4 + 3 + 1 + 2);
    puts("chain listener@listener");
    puts("chains 3 session@session > handle_request@handle_request > read_request@read_request");
    puts("chain wait_for_ever@wait_for_ever");
    puts(
        "chain level_1@level_1 > level_2@level_2 > level_3@level_3 > level_4@level_4 > "
        "wait_for_ever@wait_for_ever");
    const unsigned port = acceptor.local_endpoint().port();
    printf("summary async_accept on tcp::acceptor fd %d, listening 127.0.0.1:%u\n", acceptor.native_handle(),
           port);
    for (const tcp::socket& client : clients)
        printf("summary async_read_some on tcp::socket fd \\d+, 127.0.0.1:%u <- 127.0.0.1:%u\n", port,
               client.local_endpoint().port());
    puts("summary async_wait on steady_timer, 3[56]\\d\\d s left");
    puts("summary async_wait on steady_timer, 3[56]\\d\\d s left");
    puts("count 16");
    puts("edges 10");
    puts("threads 1");
    puts("waits asio epoll_wait");
    run_for_ever(io);
}

// ---- channel: receivers and a sender that wait

using Channel = asio::experimental::channel<void(boost::system::error_code, int)>;
using ConcurrentChannel = asio::experimental::concurrent_channel<void(boost::system::error_code, int)>;

awaitable<void> consumer(Channel& channel) {
    for (int number = 0; number >= 0;) {
        ++arrived;
        number = co_await channel.async_receive(use_awaitable);  // @consumer
    }
}

awaitable<void> producer(Channel& channel) {
    for (int number = 0;; ++number) {
        ++arrived;
        co_await channel.async_send({}, number, use_awaitable);  // @producer
    }
}

awaitable<int> take_one(ConcurrentChannel& channel) {
    ++arrived;
    co_return co_await channel.async_receive(use_awaitable);  // @take_one
}

awaitable<void> concurrent_consumer(ConcurrentChannel& channel) {
    co_await take_one(channel);  // @concurrent_consumer
}

void channel() {
    asio::io_context io(1);
    Channel empty(io, 4), full(io, 2);
    ConcurrentChannel concurrent(io, 0);
    for (int count = 0; count < 3; ++count) asio::co_spawn(io, consumer(empty), asio::detached);
    asio::co_spawn(io, producer(full), asio::detached);
    for (int count = 0; count < 2; ++count)
        asio::co_spawn(io, concurrent_consumer(concurrent), asio::detached);
    run_until_arrived(io, 3 + 3 + 2);
    puts("chains 3 consumer@consumer");
    puts("chain producer@producer");
    puts("chains 2 concurrent_consumer@concurrent_consumer > take_one@take_one");
    puts("count 8");
    puts("edges 2");
    run_for_ever(io);
}

// ---- fanout: operator&& and operator||, nested, and directly over operations

using namespace asio::experimental::awaitable_operators;

awaitable<int> fetch_user() {
    co_await wait_for_ever();  // @fetch_user
    co_return 1;
}

awaitable<int> fetch_orders() {
    ++arrived;
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(2));
    co_await timer.async_wait(use_awaitable);  // @fetch_orders
    co_return 2;
}

awaitable<void> timeout() {
    asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::hours(3));
    ++arrived;
    co_await timer.async_wait(use_awaitable);  // @timeout
}

awaitable<int> profile() {
    auto [user, orders] = co_await (fetch_user() && fetch_orders());  // @profile
    co_return user + orders;
}

awaitable<int> with_timeout() {
    auto result = co_await (profile() || timeout());  // @with_timeout
    co_return static_cast<int>(result.index());
}

awaitable<void> nested() {
    co_await ((fetch_user() && fetch_orders()) || timeout());  // @nested
}

awaitable<void> operations() {
    asio::steady_timer one(co_await asio::this_coro::executor, std::chrono::hours(4));
    asio::steady_timer two(co_await asio::this_coro::executor, std::chrono::hours(5));
    ++arrived;
    co_await (one.async_wait(use_awaitable) || two.async_wait(use_awaitable));  // @operations
}

awaitable<bool> within_time() {
    const auto result = co_await (fetch_user() || timeout());  // @within_time
    co_return result.index() == 0;
}

// GCC 12 places the frame of such a function eight bytes into its block, and lets it look for its members
// eight bytes further on: spawned before any other, in memory that is still zero, it comes to the await none
// the less.
awaitable<void> guarded() {
    if (!co_await within_time()) throw std::runtime_error("late");  // @guarded
}

void fanout() {
    asio::io_context io(1);
    asio::co_spawn(io, guarded(), [](std::exception_ptr) {});
    asio::co_spawn(io, with_timeout(), [](std::exception_ptr, int) {});
    asio::co_spawn(io, nested(), asio::detached);
    asio::co_spawn(io, operations(), asio::detached);
    run_until_arrived(io, 2 + 3 + 3 + 1);
    io.poll();
    puts(
        "chain with_timeout@with_timeout > profile@profile > fetch_user@fetch_user > "
        "wait_for_ever@wait_for_ever");
    puts("chain with_timeout@with_timeout > profile@profile > fetch_orders@fetch_orders");
    puts("chain with_timeout@with_timeout > timeout@timeout");
    puts("chain nested@nested > fetch_user@fetch_user > wait_for_ever@wait_for_ever");
    puts("chain nested@nested > fetch_orders@fetch_orders");
    puts("chain nested@nested > timeout@timeout");
    puts("chain operations@operations");
    puts(
        "chain guarded@guarded > within_time@within_time > fetch_user@fetch_user > "
        "wait_for_ever@wait_for_ever");
    puts("chain guarded@guarded > within_time@within_time > timeout@timeout");
    puts("count 17");
    puts("edges 13");
    run_for_ever(io);
}

// ---- spawn: detached, with a future, awaited, on a strand; several threads

awaitable<int> spawned() {
    co_await wait_for_ever();  // @spawned
    co_return 3;
}

awaitable<void> awaits_spawned() {
    auto strand = asio::make_strand(co_await asio::this_coro::executor);
    co_await asio::co_spawn(strand, spawned(), use_awaitable);  // @awaits_spawned
}

awaitable<int> on_strand() {
    co_await wait_for_ever();  // @on_strand
    co_return 4;
}

void spawn() {
    asio::thread_pool pool(3);
    auto strand = asio::make_strand(pool);
    asio::co_spawn(pool, wait_for_ever(), asio::detached);
    asio::co_spawn(pool, awaits_spawned(), asio::detached);
    auto future = asio::co_spawn(strand, on_strand(), asio::use_future);
    asio::co_spawn(strand, on_strand(), asio::detached);
    while (arrived < 4) std::this_thread::yield();
    puts("chain wait_for_ever@wait_for_ever");
    puts("chain awaits_spawned@awaits_spawned > spawned@spawned > wait_for_ever@wait_for_ever");
    puts("chains 2 on_strand@on_strand > wait_for_ever@wait_for_ever");
    puts("count 8");
    puts("edges 4");
    puts("threads 4");
    puts("thread asio std::future::get");
    for (int count = 0; count < 3; ++count) puts("thread asio boost::asio::detail::scheduler::run");
    truth::ready();
    future.get();
}

// ---- running: a coroutine that blocks the thread of the event loop

awaitable<int> computes() {
    truth::ready();
    truth::block();
    co_return 1;
}

awaitable<void> awaits_computation() {
    co_await computes();  // @awaits_computation
}

void running() {
    asio::io_context io(1);
    asio::co_spawn(io, awaits_computation(), asio::detached);
    asio::co_spawn(io, wait_for_ever(), asio::detached);
    puts("chain awaits_computation@awaits_computation > computes@- [running]");
    puts("chain wait_for_ever@- [created]");
    puts("count 3");
    puts("edges 1");
    puts("threads 1");
    puts("thread asio computes");
    io.run();
}

constexpr struct {
    const char* name;
    void (*start)();
} scenarios[] = {
    {"sessions", sessions}, {"channel", channel}, {"fanout", fanout}, {"spawn", spawn}, {"running", running}};

}  // namespace

int main(int argc, char** argv) {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "asio");
    for (const auto& scenario : scenarios) {
        if (argc == 2 && std::strcmp(argv[1], scenario.name) == 0) scenario.start();
    }
    fputs("usage: asio_server SCENARIO\n", stderr);
    return 64;
}
