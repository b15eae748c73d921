#include <catch2/catch.hpp>
#include <set>
#include <thread>
#include <vector>

#include "block_table.h"
#include "origin_table.h"
#include "site_table.h"
#include "zeroed.h"

using namespace asyncdump::agent;

TEST_CASE("Sizes survive their code") {
    for (std::uint64_t size : {24ul, 25ul, 4096ul, 65535ul})
        CHECK(asyncdump_size(size_code(size) << 46) == size);
    for (std::uint64_t size = 60'000; size < 300'000'000; size += size / 7 + 1) {
        const std::uint64_t decoded = asyncdump_size(size_code(size) << 46);
        const std::uint64_t unit = size < 65536 ? 1 : size <= 8 * 65535 ? 8 : size <= 64 * 65535 ? 64 : 4096;
        if (decoded == ASYNCDUMP_SIZE_UNKNOWN)
            CHECK(size > 65534ul * 4096);
        else
            CHECK(decoded == (size + unit - 1) / unit * unit);
    }
    CHECK(asyncdump_size(size_code(UINT64_MAX) << 46) == ASYNCDUMP_SIZE_UNKNOWN);
}

TEST_CASE("Records survive their packing") {
    const asyncdump_record record = make_record(136, 0xabcdef, 4194303, 0xfedcba9876, 0x123456);
    CHECK(asyncdump_size(record.identity) == 136);
    CHECK(asyncdump_origin_id(record.identity) == 0xabcdef);
    CHECK(asyncdump_thread(record.identity) == 4194303);
    CHECK(asyncdump_time(record.creation) == 0xfedcba9876);
    CHECK(asyncdump_annotation_id(record.creation) == 0x123456);
}

TEST_CASE("A block has a slot of its own, wherever it lies") {
    auto table = make_zeroed<BlockTable>();
    asyncdump_counters counters{};
    const std::vector<std::uintptr_t> addresses = {0x1000,
                                                   0x1018 + 32,
                                                   0x55d0c0ffee00,
                                                   0x55d0c0ffee20,
                                                   0x7fffffffffe0,
                                                   (1ul << 30) - 32,
                                                   1ul << 30,
                                                   (5ul << 30) + (1ul << 17) - 32,
                                                   (5ul << 30) + (1ul << 17)};
    for (const auto address : addresses) CHECK(table->find(address).flags == nullptr);
    for (const auto address : addresses) {
        const Slot slot = table->find_or_add(address, counters);
        REQUIRE(slot.flags != nullptr);
        CHECK(*slot.flags == 0);
        BlockTable::publish(slot, make_record(40, 0, 0, address, 0), live_at(address));
    }
    for (const auto address : addresses) {
        const Slot slot = table->find(address);
        CHECK(asyncdump_is_live(*slot.flags));
        CHECK(asyncdump_granule_offset(*slot.flags) == address % 32);
        CHECK(asyncdump_time(slot.record->creation) == (address & 0xffffffffff));
        CHECK(table->find_containing(address, 65536) == address);
        CHECK(table->find_containing(address + 39, 65536) != 0);
    }
    CHECK(table->find_containing(0x55d0c0ffee20 + 40, 65536) == 0);
    CHECK(table->find_containing(0x55d0c0ffee20 + 39, 65536) == 0x55d0c0ffee20);
    CHECK(table->find_or_add(1ul << 47, counters).flags == nullptr);
    CHECK(counters.dropped_outside == 1);

    std::set<std::uint32_t> regions;
    for (std::uint32_t i = 0; i < table->region_list()->count; ++i)
        regions.insert(table->region_list()->numbers_plus_one[i] - 1);
    std::set<std::uint32_t> expected;
    for (const auto address : addresses) expected.insert(static_cast<std::uint32_t>(address >> 30));
    CHECK(regions == expected);
}

TEST_CASE("Sites are judged by their votes") {
    auto table = make_zeroed<SiteTable>();
    const std::uint64_t key = site_key(0x55d0c0ffee00, size_class(100));
    CHECK_FALSE(table->is_plain(key));
    asyncdump_site& site = *table->find_or_add(key, 100);
    CHECK(&site == table->find_or_add(key, 100));
    CHECK(&site != table->find_or_add(site_key(0x55d0c0ffee00, size_class(200)), 200));
    CHECK(asyncdump_site_size_class(site.votes) == size_class(100));

    SECTION("plain after eight") {
        for (int i = 0; i < 7; ++i) SiteTable::vote(site, false);
        CHECK_FALSE(table->is_plain(key));
        SiteTable::vote(site, false);
        CHECK(table->is_plain(key));
        CHECK(table->find_settled(key) == nullptr);
        CHECK(SiteTable::vote(site, true));
        CHECK(SiteTable::state_of(site) == ASYNCDUMP_SITE_MIXED);
        CHECK(table->find_settled(key) == &site);
    }
    SECTION("frame after two") {
        CHECK_FALSE(SiteTable::vote(site, true));
        CHECK(SiteTable::state_of(site) == ASYNCDUMP_SITE_UNKNOWN);
        CHECK_FALSE(SiteTable::vote(site, true));
        CHECK(SiteTable::state_of(site) == ASYNCDUMP_SITE_FRAME);
        CHECK(table->find_settled(key) == &site);
    }
    SECTION("mixed after both") {
        SiteTable::vote(site, false);
        CHECK_FALSE(SiteTable::vote(site, true));
        for (int i = 0; i < 1000; ++i) SiteTable::vote(site, false);
        CHECK(SiteTable::state_of(site) == ASYNCDUMP_SITE_MIXED);
    }
    SECTION("stacks that go wrong become shorter") {
        CHECK(SiteTable::useful_depth(site) == 32);
        for (int i = 0; i < 8; ++i) SiteTable::note_false_stack(site, 5);
        CHECK(SiteTable::useful_depth(site) == 5);
        SiteTable::note_false_stack(site, 9);
        CHECK(SiteTable::useful_depth(site) == 5);
        SiteTable::note_false_stack(site, 2);
        CHECK(SiteTable::useful_depth(site) == 2);
        CHECK(asyncdump_site_size_class(site.votes) == size_class(100));
    }
}

TEST_CASE("Size classes are fine where frames are") {
    std::uint64_t last = 0;
    for (std::size_t size = 24; size < std::size_t{1} << 40; size += size < 2048 ? 1 : size / 33) {
        const std::uint64_t present = size_class(size);
        CHECK(present >= last);
        CHECK(present < 1 << 16);
        last = present;
    }
    CHECK(size_class(1024) == 128);
    CHECK(size_class(1025) > 128);
    CHECK(size_class(136) != size_class(144));
}

TEST_CASE("A full site table hides nothing") {
    auto table = make_zeroed<SiteTable>();
    std::size_t refused = 0;
    for (std::uintptr_t i = 0; i < 200'000; ++i)
        refused += table->find_or_add(site_key(0x400000 + i * 5, 4), 32) == nullptr;
    CHECK(refused > 100'000);
}

TEST_CASE("Equal stacks have one origin, different ones have their own") {
    auto table = make_zeroed<OriginTable>();
    std::set<std::uint32_t> ids;
    for (std::uintptr_t i = 0; i < 20'000; ++i) {
        const std::uintptr_t stack[] = {0x401000 + i % 7, 0x402000, 0x400000 + i};
        const std::size_t depth = 2 + (i % 2);
        const std::uint64_t hash = OriginTable::hash(stack, depth);
        const std::uint32_t id = table->add(hash, stack, depth);
        REQUIRE(id != 0);
        CHECK(table->find(hash) == id);
        CHECK(table->add(hash, stack, depth) == id);
        CHECK(table->site_of(id) == stack[0]);
        if (depth == 3) CHECK(ids.insert(id).second);
    }
    CHECK(ids.size() == 10'000);
    CHECK(table->find(12345) == 0);
    CHECK(table->site_of(0) == 0);
}

TEST_CASE("A full origin table refuses and goes on") {
    auto table = make_zeroed<OriginTable>();
    std::size_t refused = 0;
    for (std::uintptr_t i = 0; i < 300'000; ++i) {
        const std::uintptr_t stack[] = {i * 16 + 0x401000};
        refused += table->add(OriginTable::hash(stack, 1), stack, 1) == 0;
    }
    CHECK(refused > 100'000);
}

TEST_CASE("Threads that add at the same time agree") {
    auto blocks = make_zeroed<BlockTable>();
    auto sites = make_zeroed<SiteTable>();
    auto origins = make_zeroed<OriginTable>();
    asyncdump_counters counters{};
    std::vector<std::vector<std::uint32_t>> ids(4);
    std::vector<std::vector<asyncdump_site*>> found(4);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([&, thread] {
            for (std::uintptr_t i = 0; i < 3000; ++i) {
                const std::uintptr_t stack[] = {0x401000 + i * 8, 0x402000};
                ids[thread].push_back(origins->add(OriginTable::hash(stack, 2), stack, 2));
                found[thread].push_back(sites->find_or_add(site_key(stack[0], 5), 40));
                const Slot slot = blocks->find_or_add((i % 50 << 30) + i * 4096 + thread * 64, counters);
                BlockTable::publish(slot, make_record(40, 1, 1, 1, 0), live_at(0));
            }
        });
    for (auto& thread : threads) thread.join();
    for (std::size_t thread = 1; thread < 4; ++thread) {
        CHECK(ids[thread] == ids[0]);
        CHECK(found[thread] == found[0]);
    }
    for (std::uintptr_t i = 0; i < 3000; ++i)
        for (std::uintptr_t thread = 0; thread < 4; ++thread)
            CHECK(asyncdump_is_live(*blocks->find((i % 50 << 30) + i * 4096 + thread * 64).flags));
}
