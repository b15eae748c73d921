// Plain generators, suspended at a co_yield and pulled by ordinary functions: in a local, in a vector on the
// heap, and where the optimiser may have placed the frame on the stack or in another frame.
#include <cstring>

#include "async_primitives.h"
#include "truth.h"

using tasks::Generator;

namespace {

Generator<int> count_from(int first) {
    for (int number = first;; ++number) {
        co_yield number;  // @count_from
    }
}

Generator<int> squares(int limit) {
    for (int number = 1; number <= limit; ++number) {
        const int square = number * number;
        co_yield square;  // @squares
    }
}

/// Yields a tree's values in order: one frame for each level that is being walked. It pulls, it does not
/// await.
Generator<int> walk(int low, int high) {
    if (low < high) {
        const int middle = low + (high - low) / 2;
        Generator<int> left = walk(low, middle);
        while (left.next()) {
            co_yield left.value();  // @walk_left
        }
        co_yield middle;  // @walk_middle
    }
}

/// Yields the values of another generator: held by value in its frame.
Generator<int> twice(Generator<int> source) {
    while (source.next()) {
        co_yield source.value() * 2;  // @twice
    }
}

}  // namespace

int main() {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "generators");

    Generator<int> local = count_from(1);
    truth::show(local);
    for (int pulled = 0; pulled < 3; ++pulled) local.next();

    std::vector<Generator<int>> on_heap;
    for (int number = 0; number < 5; ++number) {
        on_heap.push_back(squares(10));
        for (int pulled = 0; pulled <= number; ++pulled) on_heap.back().next();
    }
    on_heap.push_back(squares(2));
    while (on_heap.back().next()) continue;
    on_heap.push_back(squares(2));

    auto* recursive = new Generator<int>(walk(0, 4));
    recursive->next();

    auto* pipeline = new Generator<int>(twice(count_from(7)));
    pipeline->next();

    puts("chains 2 count_from@count_from");
    puts("chains 5 squares@squares");
    puts("chain squares@- [done]");
    puts("chain squares@- [created]");
    // walk(0, 4) holds walk(0, 2) at its yield; walk(0, 2) holds walk(0, 1), which holds walk(0, 0), ended.
    puts("chain walk@walk_middle");
    puts("chains 2 walk@walk_left");
    puts("chain walk@- [done]");
    puts("chain twice@twice");
    puts("count 14");
    puts("edges 0");
    puts("threads 1");
    puts("thread generators main");
    truth::ready();
    truth::block();
    truth::show(local);
}
