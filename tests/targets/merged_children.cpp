// Coroutines that ended at once, while their parent is suspended later. Clang merges such children into their
// parent's frame when it optimises: there they leave their last bytes when they are destroyed. Those that are
// not destroyed yet (named, or in the same full expression) may be shown as done: clang may have left nothing
// of them.
#include <cstdio>
#include <string>

#include "async_primitives.h"
#include "task_library.h"
#include "truth.h"

namespace {

using tasks::Event;
using tasks::Task;

Event never;

Task ended(int value) {
    co_return value;
}

Task still_there(int value) {
    co_return value;
}

Task later(int value) {
    co_await never;  // @later
    co_return value;
}

Task nested_ended(int value) {
    co_return co_await ended(value) + 1;
}

Task after_one() {
    int value = co_await ended(1);
    value += co_await later(2);  // @after_one
    co_return value;
}

Task after_several() {
    if (int value = co_await ended(1); value > 5) co_await ended(2);
    for (int i = 0; i < 3; ++i) co_await ended(i);
    int value = co_await nested_ended(3);
    {
        std::string text = std::to_string(co_await ended(4));
        value += static_cast<int>(text.size());
        value += co_await later(5);  // @after_several
    }
    co_return value + co_await ended(6);
}

Task in_one_expression() {
    co_return co_await still_there(1) + co_await later(2);  // @in_one_expression
}

Task in_arguments() {
    const auto sum = [](int a, int b) { return a + b; };
    int value = co_await nested_ended(7);
    value += sum(1, co_await later(2));  // @in_arguments
    co_return value;
}

Task named() {
    Task task = still_there(1);
    int value = co_await task;
    value += co_await later(value);  // @named
    co_return value + co_await task;
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    static Task all[] = {after_one(), after_several(), in_one_expression(), in_arguments(), named()};
    for (Task& task : all) task.start();
    tasks::loop.run_ready();
    puts("chain after_one@after_one > later@later");
    puts("chain after_several@after_several > later@later");
    puts("chain in_one_expression@in_one_expression > later@later");
    puts("chain in_arguments@in_arguments > later@later");
    puts("chain named@named > later@later");
    puts("absent ended");
    puts("absent nested_ended");
    puts("passing still_there");
    puts("edges 5");
    truth::ready();
    truth::block();
}
