// The recorder under threads, with an allocator of its own, so that the thread sanitizer sees every access.
#include <catch2/catch.hpp>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "code_ranges.h"
#include "recorder.h"
#include "zeroed.h"

using namespace asyncdump::agent;

namespace {

constexpr std::size_t kBlocks = 512;
constexpr std::size_t kBlockSize = 96;
constexpr std::size_t kThreads = 4;

struct alignas(32) Block {
    std::uintptr_t words[kBlockSize / sizeof(std::uintptr_t)];
};

void frame_function() {}

/// Hands out the blocks of an arena, like malloc: what is freed here happens before it is handed out again.
class Arena {
  public:
    Arena() {
        for (auto& block : blocks_) free_.push_back(&block);
    }
    Block* allocate() {
        const std::lock_guard lock(mutex_);
        if (free_.empty()) return nullptr;
        Block* block = free_.back();
        free_.pop_back();
        return block;
    }
    void release(Block* block) {
        const std::lock_guard lock(mutex_);
        if (!out_.erase(block)) std::abort();  // freed twice
        free_.push_back(block);
    }
    void handed_out(Block* block) {
        const std::lock_guard lock(mutex_);
        out_.insert(block);
    }
    std::size_t available() const { return free_.size(); }

  private:
    std::mutex mutex_;
    std::vector<Block*> free_;
    std::set<Block*> out_;
    Block blocks_[kBlocks] = {};
};

Arena* arena;
void release(void* block) {
    arena->release(static_cast<Block*>(block));
}

}  // namespace

TEST_CASE("Threads create, hand over, name and destroy") {
    remember_code_ranges(false);
    auto recorder = make_zeroed<Recorder>();
    recorder->clock = &clock_gettime;
    recorder->free_block = &release;
    recorder->delete_block = &release;
    recorder->stack_depth = 4;
    const auto own_arena = std::make_unique<Arena>();
    arena = own_arena.get();

    static std::uintptr_t slots[64];
    for (auto& slot : slots) slot = 0;

    const auto work = [&](std::uint64_t seed) {
        ThreadState thread{};
        std::uint64_t state = seed * 2654435769 + 1;
        const auto next = [&state] {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            return state;
        };
        for (int i = 0; i < 60'000; ++i) {
            std::uintptr_t& slot = slots[next() % 64];
            if (std::uintptr_t found = exchange(slot, std::uintptr_t{0})) {
                auto* block = reinterpret_cast<Block*>(found);
                if (next() % 4 == 0) recorder->annotate(found + 8, {"name", 4}, {nullptr, 0});
                const auto ended = recorder->end_quickly(block);
                if (ended != Recorder::Ended::not_yet || recorder->end(block)) arena->release(block);
                continue;
            }
            Block* block = arena->allocate();
            if (block == nullptr) continue;
            arena->handed_out(block);
            // New sites all the time, so that blocks are being judged all the time; some frames, some not,
            // some mixed.
            const std::uintptr_t site = 0x400000 + static_cast<std::uintptr_t>(i / 50) * 16 + next() % 3;
            const CallSite call{site, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0))};
            const std::uint64_t key = site_key(site, size_class(kBlockSize));
            if (!recorder->goes_unrecorded(key, thread) &&
                !recorder->begin_quickly(block, kBlockSize, key, call, thread))
                recorder->begin(block, kBlockSize, key, call, 0, next() % 64 == 0, thread);
            const bool is_frame = site % 3 == 0 || (site % 3 == 1 && next() % 2 == 0);
            const std::uintptr_t word = is_frame ? reinterpret_cast<std::uintptr_t>(&frame_function) : 0;
            store_relaxed(block->words[0], word);
            store_relaxed(block->words[1], word);
            std::uint32_t scope = 0;
            if (next() % 16 == 0) scope = recorder->begin_scope({"scope", 5}, thread);
            std::uintptr_t nothing = 0;
            if (!compare_exchange(slot, nothing, reinterpret_cast<std::uintptr_t>(block))) {
                if (recorder->end(block)) arena->release(block);
            }
            if (scope != 0) recorder->end_scope(scope, thread);
        }
        // A thread may end with blocks that are still to be judged; nothing depends on it.
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) threads.emplace_back(work, i + 1);
    for (auto& thread : threads) thread.join();

    for (auto& slot : slots)
        if (slot != 0 && recorder->end(reinterpret_cast<void*>(slot)))
            arena->release(reinterpret_cast<Block*>(slot));
    CHECK(arena->available() == kBlocks);
    CHECK(recorder->counters.replaced == 0);
    CHECK(recorder->counters.dropped_no_memory == 0);
    CHECK(recorder->counters.misnested_scopes == 0);
    for (std::uint32_t id = 1; id < 64; ++id)
        CHECK(recorder->annotations.get(id)->kind == ASYNCDUMP_ANNOTATION_FREE);
}
