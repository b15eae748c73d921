// Four threads that create, await and destroy coroutines without pause, and eight chains that stay. Dumps of
// it are taken at any moment: frames half built, half destroyed and just freed. The target itself checks that
// its work stays right, and tells by its exit status.
#include <atomic>
#include <thread>

#include "async_primitives.h"
#include "truth.h"

namespace {

tasks::Event never;
std::atomic<bool> is_wrong = false;

tasks::Task stays(int id) {
    co_await never;  // @stays
    co_return id;
}

tasks::Task keeps(int id) {
    co_return co_await stays(id);  // @keeps
}

struct ByHand {
    std::coroutine_handle<>* slot;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> coroutine) const noexcept { *slot = coroutine; }
    void await_resume() const noexcept {}
};

tasks::Task passing_leaf(int id, std::coroutine_handle<>* slot) {
    co_await ByHand{slot};
    co_return id;
}

tasks::Task passing_root(int id, std::coroutine_handle<>* slot) {
    const int value = co_await passing_leaf(id, slot);
    co_return value + 1;
}

/// Chains that live for a while: some end by themselves, some are destroyed while suspended.
void churn() {
    constexpr int alive = 16;
    struct {
        std::coroutine_handle<> leaf;
        tasks::Task root;
    } chains[alive];
    for (int round = 0;; ++round) {
        auto& chain = chains[round % alive];
        if (chain.root.handle() && round % 3 != 0) {
            chain.leaf.resume();
            if (!chain.root.handle().done()) is_wrong = true;
            if (chain.root.handle().promise().value != round - alive + 1) is_wrong = true;
        }
        chain.root = passing_root(round, &chain.leaf);
        chain.root.handle().resume();
        if (is_wrong) _exit(1);
    }
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "churn");
    std::vector<tasks::Task> kept;
    for (int id = 0; id < 8; ++id) {
        kept.push_back(keeps(id));
        kept.back().handle().resume();
    }
    std::vector<std::thread> threads;
    for (int count = 0; count < 4; ++count) threads.emplace_back(churn);
    puts("chains 8 keeps@keeps > stays@stays");
    puts("passing passing_root");
    puts("passing passing_leaf");
    puts("threads 5");
    puts("thread churn main");
    truth::ready();
    for (auto& thread : threads) thread.join();
}
