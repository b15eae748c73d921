// Allocates and frees in several threads, prints what it did and blocks: a heap of glibc's malloc with its
// truth.
//   <allocated|freed|mapped> <address> <malloc_usable_size> <arena's number>
//   ready
#include <malloc.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <latch>
#include <random>
#include <thread>
#include <vector>

namespace {

struct Block {
    void* address;
    std::size_t usable;
    const char* fate;
};

std::vector<Block> use_heap(unsigned seed) {
    std::vector<Block> blocks;
    std::mt19937 random(seed);
    const auto allocate = [&](std::size_t bytes) {
        void* address = std::malloc(bytes);
        std::memset(address, 0xFF, bytes < 4096 ? bytes : 4096);
        blocks.push_back({address, malloc_usable_size(address), "allocated"});
    };
    for (std::size_t bytes = 1; bytes <= 2048; bytes += 7) allocate(bytes);
    for (int i = 0; i < 2000; ++i) allocate(1 + random() % (i % 10 == 0 ? 60'000 : 600));
    // More than one heap of an arena (64 MiB); most of it is never touched.
    if (seed == 1) {
        for (int i = 0; i < 800; ++i) allocate(100'000);
    }
    for (Block& block : blocks) {
        if (random() % 3 != 0) continue;
        std::free(block.address);
        block.fate = "freed";
    }
    return blocks;
}

void print(const std::vector<Block>& blocks, unsigned arena) {
    for (const Block& block : blocks) {
        std::printf("%s %p %zu %u\n", block.fate, block.address, block.usable, arena);
    }
}

}  // namespace

int main() {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mallopt(M_MXFAST, 0);
    // The threshold of blocks of their own mapping stays where it is.
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    constexpr unsigned threads = 4;
    std::vector<Block> blocks[threads];
    // Started before any of them ends, so that each has an arena of its own; they stay, and so do their
    // arenas.
    std::latch done(threads);
    for (unsigned i = 1; i < threads; ++i) {
        std::thread([&, i] {
            blocks[i] = use_heap(i);
            done.count_down();
            pause();
        }).detach();
    }
    // The last one to free: what it frees nobody takes again, the output's buffer included.
    static char output_buffer[4096];
    std::setvbuf(stdout, output_buffer, _IOFBF, sizeof output_buffer);
    blocks[0] = use_heap(0);
    done.arrive_and_wait();
    for (unsigned i = 1; i < threads; ++i) print(blocks[i], i);
    print(blocks[0], 0);
    void* mapped = std::malloc(1 << 20);
    std::printf("mapped %p %zu 0\nready\n", mapped, malloc_usable_size(mapped));
    std::fflush(stdout);
    char byte = 0;
    return static_cast<int>(read(STDIN_FILENO, &byte, 1));
}
