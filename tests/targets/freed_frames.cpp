// Thousands of coroutines created and destroyed in all sizes and orders; few survive. Whatever the allocator
// leaves of the dead ones must not come back to life in a dump. Also: copies of live frames, and
// std::noop_coroutine().
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <utility>

#include "async_primitives.h"
#include "truth.h"

namespace {

tasks::Event never;

/// The frame holds `Size` bytes of locals, so that frames of all the allocator's size classes occur.
template <int Size>
tasks::Task of_size(int id) {
    char locals[Size];
    std::memset(locals, id, sizeof locals);
    co_await never;  // @of_size
    co_return locals[id % Size];
}

template <int Size>
tasks::Task survivor(int id) {
    char locals[Size];
    std::memset(locals, id, sizeof locals);
    co_await never;  // @survivor
    co_return locals[id % Size];
}

std::vector<tasks::Task> survivors;

template <int Size>
void keep_one() {
    survivors.push_back(survivor<Size>(Size));
    survivors.back().handle().resume();
}

enum class Order { as_created, reversed, random };

template <int Size>
void create_and_destroy(Order order, std::mt19937& random) {
    std::vector<tasks::Task> doomed;
    // No freed buffer with handles of the dead may remain: content could not tell it from a living one.
    doomed.reserve(200);
    for (int id = 0; id < 200; ++id) {
        doomed.push_back(of_size<Size>(id));
        doomed.back().handle().resume();
        if (id == 100) keep_one<Size>();
    }
    if (order == Order::reversed) std::reverse(doomed.begin(), doomed.end());
    if (order == Order::random) std::shuffle(doomed.begin(), doomed.end(), random);
    for (auto& task : doomed) task = tasks::Task();
}

template <int... Sizes>
void all_sizes(std::integer_sequence<int, Sizes...>) {
    std::mt19937 random(1);
    for (const auto order : {Order::as_created, Order::reversed, Order::random}) {
        (create_and_destroy<Sizes>(order, random), ...);
    }
}

/// Aligned like a frame, but no allocation begins there.
std::vector<char>* copy_to_heap(const void* frame, std::size_t size) {
    auto* copy = new std::vector<char>(size + 128);
    std::memcpy(copy->data() + 64, frame, size);
    return copy;
}

tasks::Task waits(int id) {
    char locals[200];
    std::memset(locals, id, sizeof locals);
    co_await never;
    co_return locals[id];
}

tasks::Task awaits(int id) {
    co_return co_await waits(id);
}

/// Frames of many blocks that have become one free block, and all who knew them.
void free_neighbours() {
    std::vector<tasks::Task> doomed;
    for (int id = 0; id < 60; ++id) {
        doomed.push_back(awaits(id));
        doomed.back().handle().resume();
    }
    for (auto& task : doomed) task = tasks::Task();
}

/// Where the dead lay, there are now the buffer of standard output and one that nobody has written to.
int main_with_buffers() {
    free_neighbours();
    static char* buffer = static_cast<char*>(std::malloc(3000));
    truth::show(buffer);
    TRUTH_BEGIN();
    keep_one<100>();
    printf("chains 1 survivor@survivor\n");
    puts("count 1");
    puts("edges 0");
    puts("doubtful waits");
    puts("doubtful awaits");
    truth::ready();
    tasks::loop.run();
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count > 1 && arguments[1] == std::string_view("buffers")) return main_with_buffers();
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "freed");
    using Sizes = std::integer_sequence<int, 1, 40, 100, 200, 500, 900, 1100, 3000, 9000, 150000>;
    all_sizes(Sizes());

    // Both copies are whole: these frames are smaller.
    constexpr std::size_t copied = 256;
    alignas(16) char on_stack[copied];
    static std::vector<char>* on_heap = copy_to_heap(survivors[0].handle().address(), copied);
    std::memcpy(on_stack, survivors[1].handle().address(), copied);
    truth::show(on_stack);
    truth::show(on_heap);

    static std::coroutine_handle<> noop = std::noop_coroutine();
    truth::show(noop);

    printf("chains %zu survivor@survivor\n", survivors.size());
    printf("count %zu\n", survivors.size());
    puts("edges 0");
    puts("absent of_size");
    puts("doubtful of_size");
    puts("doubtful survivor");
    truth::ready();
    tasks::loop.run();
}
