// What most programs do: tasks in a vector, waiters as handles in another, both with neighbours that are
// gone. Under any allocator every living coroutine is part of its chain; of the dead ones an allocator
// without records that can be read may leave some that cannot be told from the living.
#include <vector>

#include "task_library.h"
#include "truth.h"

namespace {

struct Event {
    std::vector<std::coroutine_handle<>> waiters;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) { waiters.push_back(handle); }
    void await_resume() const noexcept {}
};

Event never, gone;

tasks::Task live_leaf(int id) {
    co_await never;  // @live_leaf
    co_return id;
}

tasks::Task live_root(int id) {
    co_return co_await live_leaf(id);  // @live_root
}

tasks::Task dead_leaf(int id) {
    co_await gone;
    co_return id;
}

tasks::Task dead_root(int id) {
    co_return co_await dead_leaf(id);
}

std::vector<tasks::Task> living, dying;

}  // namespace

int main() {
    TRUTH_BEGIN();
    for (int id = 0; id < 100; ++id) {
        living.push_back(live_root(id));
        living.back().handle().resume();
        dying.push_back(dead_root(id));
        dying.back().handle().resume();
    }
    dying.clear();
    dying.shrink_to_fit();
    gone.waiters.clear();
    gone.waiters.shrink_to_fit();
    puts("chains 100 live_root@live_root > live_leaf@live_leaf");
    puts("passing dead_root");
    puts("passing dead_leaf");
    truth::ready();
    truth::block();
}
