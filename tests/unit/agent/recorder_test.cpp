#include "recorder.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "code_ranges.h"
#include "zeroed.h"

using namespace asyncdump::agent;

namespace {

std::vector<void*> released;
void release(void* block) {
    released.push_back(block);
}

void frame_function() {}
void other_function() {}

struct Fixture {
    Zeroed<Recorder> recorder = make_zeroed<Recorder>();
    ThreadState thread{};
    ThreadState other_thread{};
    alignas(32) unsigned char memory[64][128] = {};

    Fixture() {
        static const bool once = (remember_code_ranges(false), true);
        (void)once;
        recorder->clock = &clock_gettime;
        recorder->free_block = &release;
        recorder->delete_block = &release;
        recorder->stack_depth = 1;
        released.clear();
    }

    void begin(std::size_t block, std::uintptr_t site, ThreadState& by, bool always = false) {
        const CallSite call{site, 0};
        const std::uint64_t key = site_key(site, size_class(100));
        if (!recorder->begin_quickly(memory[block], 100, key, call, by))
            recorder->begin(memory[block], 100, key, call, 0, always, by);
    }
    void begin(std::size_t block, std::uintptr_t site) { begin(block, site, thread); }

    /// As the hooks do it. True: the block is the caller's to free.
    bool end(std::size_t block) {
        switch (recorder->end_quickly(memory[block])) {
            case Recorder::Ended::not_yet:
                return recorder->end(memory[block]);
            default:
                return true;
        }
    }

    void make_frame(std::size_t block) {
        const std::uintptr_t words[2] = {reinterpret_cast<std::uintptr_t>(&frame_function),
                                         reinterpret_cast<std::uintptr_t>(&other_function)};
        std::memcpy(memory[block], words, sizeof words);
    }

    std::uint8_t flags(std::size_t block) {
        const Slot slot = recorder->blocks.find(reinterpret_cast<std::uintptr_t>(memory[block]));
        return slot.flags == nullptr ? std::uint8_t{0} : *slot.flags;
    }
    bool live(std::size_t block) { return asyncdump_is_live(flags(block)); }
    std::uint32_t state(std::uintptr_t site) {
        return SiteTable::state_of(*recorder->sites.find_or_add(site_key(site, size_class(100)), 100));
    }
};

constexpr std::uintptr_t kSite = 0x401234;

}  // namespace

TEST_CASE_METHOD(Fixture, "The second word is cleared before an entry becomes live") {
    std::memset(memory[0], 0xff, 128);
    begin(0, kSite);
    std::uintptr_t words[2];
    std::memcpy(words, memory[0], sizeof words);
    CHECK(words[1] == 0);
    CHECK(live(0));
    CHECK(end(0));
    CHECK_FALSE(live(0));
}

TEST_CASE_METHOD(Fixture, "Frames settle their site by their end") {
    for (std::size_t i = 0; i < 2; ++i) {
        begin(i, kSite);
        make_frame(i);
        CHECK((flags(i) & ASYNCDUMP_SLOT_UNSETTLED) != 0);
        CHECK(end(i));
    }
    CHECK(state(kSite) == ASYNCDUMP_SITE_FRAME);
    begin(5, kSite);
    CHECK(live(5));
    CHECK((flags(5) & ASYNCDUMP_SLOT_UNSETTLED) == 0);
}

TEST_CASE_METHOD(Fixture, "Frames settle their site while they live") {
    for (std::size_t i = 0; i < 4; ++i) {
        begin(i, kSite);
        make_frame(i);
    }
    CHECK(state(kSite) == ASYNCDUMP_SITE_FRAME);
    for (std::size_t i = 0; i < 4; ++i) CHECK(live(i));
}

TEST_CASE_METHOD(Fixture, "Plain blocks settle their site and are recorded no more") {
    for (std::size_t i = 0; i < 10; ++i) begin(i, kSite);
    CHECK(state(kSite) == ASYNCDUMP_SITE_PLAIN);
    CHECK(recorder->sites.is_plain(site_key(kSite, size_class(100))));
}

TEST_CASE_METHOD(Fixture, "A block is not judged before its owner could use it") {
    // Three frames of three sites, one after the other at the same address.
    for (std::uintptr_t round = 0; round < 12; ++round) {
        begin(0, kSite + round % 3);
        make_frame(0);
        CHECK(end(0));
    }
    for (std::uintptr_t site = kSite; site < kSite + 3; ++site) CHECK(state(site) == ASYNCDUMP_SITE_FRAME);
    // The address of an earlier block of this thread belongs to a young one of another thread.
    begin(1, kSite + 10);
    begin(2, kSite + 11);
    CHECK(end(1));
    begin(1, kSite + 12, other_thread);
    other_thread.id = 99;
    CHECK(end(1));
    begin(1, kSite + 12, other_thread);
    begin(3, kSite + 13);
    CHECK((flags(1) & ASYNCDUMP_SLOT_UNSETTLED) != 0);
    CHECK((flags(1) & ASYNCDUMP_SLOT_EXAMINED) == 0);
}

TEST_CASE_METHOD(Fixture, "Frames are recognised in blocks that do not begin with them") {
    const auto looks_like_frame = [&](std::size_t offset, bool first_null) {
        alignas(4096) static unsigned char block[8192];
        std::memset(block, 0, sizeof block);
        std::uintptr_t words[2] = {reinterpret_cast<std::uintptr_t>(&frame_function),
                                   reinterpret_cast<std::uintptr_t>(&other_function)};
        if (first_null) words[0] = 0;
        std::memcpy(block + 16 + offset, words, sizeof words);
        return may_hold_frame(reinterpret_cast<std::uintptr_t>(block) + 16, 5000);
    };
    CHECK(looks_like_frame(0, false));
    CHECK(looks_like_frame(0, true));
    CHECK(looks_like_frame(16, false));
    CHECK(looks_like_frame(64 - 16, true));
    CHECK(looks_like_frame(4096 - 16, true));
    CHECK_FALSE(looks_like_frame(24, true));
    CHECK_FALSE(looks_like_frame(200, false));
    unsigned char plain[128] = {};
    void* data = plain;
    std::memcpy(plain, &data, sizeof data);
    std::memcpy(plain + 8, &data, sizeof data);
    CHECK_FALSE(may_hold_frame(reinterpret_cast<std::uintptr_t>(plain), sizeof plain));
}

TEST_CASE_METHOD(Fixture, "A block that is examined is freed by the examiner") {
    begin(0, kSite);
    const Slot slot = recorder->blocks.find(reinterpret_cast<std::uintptr_t>(memory[0]));
    *slot.flags |= ASYNCDUMP_SLOT_EXAMINED;
    CHECK_FALSE(end(0));
    CHECK_FALSE(live(0));
    CHECK(released.empty());
}

TEST_CASE_METHOD(Fixture, "What another function freed is replaced") {
    begin(0, kSite);
    begin(0, kSite);
    CHECK(live(0));
    CHECK(recorder->counters.replaced == 1);
}

TEST_CASE_METHOD(Fixture, "A foreign address in a live granule ends nothing") {
    begin(0, kSite);
    CHECK(recorder->end_quickly(memory[0] + 8) == Recorder::Ended::not_yet);
    CHECK(recorder->end(memory[0] + 8));
    CHECK(live(0));
}

TEST_CASE_METHOD(Fixture, "realloc takes an entry out and puts it back") {
    begin(0, kSite);
    asyncdump_record record{};
    std::uint8_t taken = 0;
    REQUIRE(recorder->take(memory[0], record, taken) == Recorder::Taken::taken);
    CHECK_FALSE(live(0));
    CHECK(recorder->take(memory[0], record, taken) == Recorder::Taken::not_registered);
    recorder->put_back(memory[0], record, static_cast<std::uint8_t>(taken | live_at(0)));
    CHECK(live(0));
    *recorder->blocks.find(reinterpret_cast<std::uintptr_t>(memory[0])).flags |= ASYNCDUMP_SLOT_EXAMINED;
    CHECK(recorder->take(memory[0], record, taken) == Recorder::Taken::examined);
    CHECK(live(0));
}

TEST_CASE_METHOD(Fixture, "Scopes must end where they began") {
    const std::uint32_t scope = recorder->begin_scope({"outer", 5}, thread);
    recorder->end_scope(scope, other_thread);
    CHECK(recorder->counters.misnested_scopes == 1);
    CHECK(thread.scope == scope);
    recorder->end_scope(scope, thread);
    CHECK(thread.scope == 0);
}

TEST_CASE_METHOD(Fixture, "Stacks are walked within the thread's own stack") {
    recorder->stack_depth = 8;
    recorder->end_of_first_stack = reinterpret_cast<std::uintptr_t>(&recorder) + 65536;
    const auto frame_at = [&](std::uintptr_t frame) {
        const CallSite call{kSite, frame};
        recorder->begin(memory[0], 100, site_key(kSite, size_class(100)), call, 0, true, thread);
        return *recorder->blocks.find(reinterpret_cast<std::uintptr_t>(memory[0])).record;
    };
    for (const std::uintptr_t frame : {std::uintptr_t{0}, std::uintptr_t{8}, ~std::uintptr_t{7},
                                       std::uintptr_t{0x1003}, reinterpret_cast<std::uintptr_t>(this) | 1}) {
        const asyncdump_record record = frame_at(frame);
        CHECK(recorder->origins.site_of(asyncdump_origin_id(record.identity)) == kSite);
    }
}

TEST_CASE("Readability is found out without reading") {
    auto* pages = static_cast<unsigned char*>(map_pages(8192));
    const auto address = reinterpret_cast<std::uintptr_t>(pages);
    CHECK(is_readable(address));
    unmap_pages(pages, 8192);
    CHECK_FALSE(is_readable(address));
    CHECK_FALSE(is_readable(0x10));
}

TEST_CASE("Return addresses follow calls") {
    CHECK(is_code(reinterpret_cast<std::uintptr_t>(&frame_function)));
    CHECK_FALSE(is_code(0));
    CHECK_FALSE(is_code(0x7fffffffffff0000));
    CHECK(may_be_return_address(reinterpret_cast<std::uintptr_t>(__builtin_return_address(0))));
}
