// What only the agent can tell: who created what, when and under which name. The truth of the trees is told
// as by every other target; that of creation in lines of its own (see truth.h).
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "asyncdump/annotate.h"
#include "task_library.h"
#include "truth.h"

namespace {

std::vector<tasks::Task> spawned;

tasks::Task fetch(int) {
    co_await std::suspend_always{};  // @fetch
    co_return 1;
}

tasks::Task session(std::string peer) {
    asyncdump::name_task(&peer, "session " + peer);
    asyncdump::label_task(&peer, "reading");
    asyncdump::label_task(&peer, "waiting for " + peer);
    tasks::Task child = fetch(3);
    co_return co_await child;  // @session
}

tasks::Task request(int) {
    co_await std::suspend_always{};  // @request
    co_return 1;
}

tasks::Task audit(int) {
    tasks::Task child = request(4);
    co_return co_await child;  // @audit
}

[[gnu::noinline]] void accept_session(const char* peer) {
    spawned.push_back(session(peer));  // @accept
    asm volatile("" ::: "memory");
}

[[gnu::noinline]] void handle_request(int number) {
    asyncdump::scoped_name outer("requests");
    asyncdump::scoped_name inner("request " + std::to_string(number));
    spawned.push_back(request(number));  // @handle
    asm volatile("" ::: "memory");
}

[[gnu::noinline]] void start_audit() {
    spawned.push_back(audit(5));  // @start_audit
    asm volatile("" ::: "memory");
}

alignas(64) unsigned char arena[4096];

/// Its frames lie where no hook sees them.
struct ArenaTask {
    struct promise_type {
        static void* operator new(std::size_t size) {
            asyncdump::register_frame(arena + 64, size);
            return arena + 64;
        }
        static void operator delete(void* frame) { asyncdump::unregister_frame(frame); }
        ArenaTask get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_never initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};

ArenaTask in_arena(int) {
    co_await std::suspend_always{};  // @arena
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    accept_session("10.0.0.1");
    std::thread other([] {
        pthread_setname_np(pthread_self(), "acceptor");
        accept_session("10.0.0.2");
        handle_request(17);
        printf("tid acceptor %d\n", gettid());
    });
    other.join();
    printf("tid main %d\n", gettid());
    handle_request(18);
    start_audit();
    ArenaTask arena_task = in_arena(6);
    truth::show(arena_task);
    for (tasks::Task& task : spawned) task.handle().resume();
    {
        asyncdump::scoped_name scope("audits");
        spawned.push_back(request(19));
        spawned.back().handle().resume();
    }

    puts("chain session@session > fetch@fetch");
    puts("chain session@session > fetch@fetch");
    puts("chain request@request");
    puts("chain request@request");
    puts("chain request@request");
    puts("chain audit@audit > request@request");
    puts("chain in_arena@arena");
    puts("count 10");
    puts("created session acceptor accept_session@accept");
    puts("created session main accept_session@accept");
    puts("created request acceptor handle_request@handle");
    puts("created request main handle_request@handle");
    puts("created audit main start_audit@start_audit");
    puts("name session 10.0.0.1");
    puts("label waiting for 10.0.0.2");
    puts("under request 17: request");
    puts("under requests: request request");
    puts("under audits: request");
    puts("created_by start_audit: audit request");
    truth::ready();
    truth::block();
}
