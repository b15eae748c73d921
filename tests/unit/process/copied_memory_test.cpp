#include "process/copied_memory.h"

#include <catch2/catch.hpp>
#include <random>

#include "own_pages.h"
#include "process/live_memory.h"

using namespace asyncdump;

namespace {

LiveMemory own_memory() {
    auto memory = LiveMemory::open(getpid());
    REQUIRE(memory);
    return *std::move(memory);
}

std::vector<std::byte> bytes_of(const char* text) {
    const auto* const begin = reinterpret_cast<const std::byte*>(text);
    return {begin, begin + std::strlen(text)};
}

std::string read_text(const CopiedMemory& memory, std::uint64_t address, std::size_t size) {
    std::string text(size, '.');
    text.resize(memory.read(RemoteAddress(address), std::as_writable_bytes(std::span(text))));
    return text;
}

AddressRange range(std::uint64_t begin, std::uint64_t end) {
    return {RemoteAddress(begin), RemoteAddress(end)};
}

}  // namespace

TEST_CASE("a read is served across adjacent segments and ends where one is missing") {
    CopiedMemory memory;
    memory.add(RemoteAddress(0x1008), bytes_of("ijkl"));
    memory.add(RemoteAddress(0x1000), bytes_of("abcdefgh"));
    memory.add(RemoteAddress(0x2000), bytes_of("xyz"));
    CHECK(read_text(memory, 0x1000, 12) == "abcdefghijkl");
    CHECK(read_text(memory, 0x1006, 4) == "ghij");
    CHECK(read_text(memory, 0x100a, 100) == "kl");
    CHECK(read_text(memory, 0x0fff, 4).empty());
    CHECK(read_text(memory, 0x2002, 4) == "z");
    CHECK(read_text(memory, 0x2003, 4).empty());
    CHECK(memory.total_bytes() == 15);
    CHECK(memory.covers(range(0x1000, 0x100c)));
    CHECK(memory.covers(range(0x1000, 0x1000)));
    CHECK_FALSE(memory.covers(range(0x1000, 0x100d)));
    CHECK_FALSE(memory.covers(range(0x0fff, 0x1001)));
    CHECK(memory.view(RemoteAddress(0x1002)).size() == 6);
    CHECK(memory.view(RemoteAddress(0x1002))[0] == std::byte{'c'});
    CHECK(memory.view(RemoteAddress(0x100c)).empty());
}

TEST_CASE("overlapping segments keep every byte once") {
    CopiedMemory memory;
    memory.add(RemoteAddress(0x1004), bytes_of("efgh"));
    memory.add(RemoteAddress(0x100c), bytes_of("mn"));
    memory.add(RemoteAddress(0x1000), bytes_of("abcdefghijklmnop"));
    CHECK(read_text(memory, 0x1000, 16) == "abcdefghijklmnop");
    CHECK(memory.total_bytes() == 16);
    memory.add(RemoteAddress(0x1002), bytes_of("cde"));
    memory.add(RemoteAddress(0x1002), {});
    CHECK(memory.total_bytes() == 16);
}

TEST_CASE("bytes at the end of the address space do not wrap") {
    CopiedMemory memory;
    memory.add(RemoteAddress(~0ULL - 3), bytes_of("abcdefgh"));
    CHECK(read_text(memory, ~0ULL - 3, 8) == "abc");
    CHECK(read_text(memory, 0, 1).empty());
}

TEST_CASE("neighbours closer than a page become one segment") {
    OwnPages pages(8);
    pages.fill();
    CopiedMemory memory;
    const std::uint64_t copied =
        memory.copy_from(own_memory(), {{pages.address(5), pages.address(5, 8)},
                                        {pages.address(0, 100), pages.address(0, 200)},
                                        {pages.address(1, 50), pages.address(1, 60)},
                                        {pages.address(1, 55), pages.address(2, 0)},
                                        {pages.address(3, 0), pages.address(3, 0)}});
    CHECK(copied == 2 * page_size - 100 + 8);
    CHECK(memory.total_bytes() == copied);
    CHECK(memory.view(pages.address(0, 100)).size() == 2 * page_size - 100);
    CHECK(std::memcmp(memory.view(pages.address(0, 100)).data(), pages.data() + 100, 2 * page_size - 100) ==
          0);
    CHECK(memory.covers({pages.address(5), pages.address(5, 8)}));
    CHECK_FALSE(memory.covers({pages.address(5), pages.address(5, 9)}));
    CHECK(memory.read_value<std::uint64_t>(pages.address(5)).has_value());
}

TEST_CASE("the copy keeps what the target changes afterwards") {
    OwnPages pages(2);
    pages.fill(1);
    CopiedMemory memory;
    memory.copy_from(own_memory(), {pages.pages(0, 1)});
    std::vector<std::byte> before(pages.data(), pages.data() + page_size);
    pages.fill(99);
    CHECK(memory.copy_from(own_memory(), {pages.pages(0, 2)}) == page_size);
    std::vector<std::byte> bytes(2 * page_size);
    REQUIRE(memory.read_all(pages.address(0), bytes));
    CHECK(std::memcmp(bytes.data(), before.data(), page_size) == 0);
    CHECK(std::memcmp(bytes.data() + page_size, pages.data() + page_size, page_size) == 0);
}

TEST_CASE("what is missing inside a range is left out, and nothing else") {
    OwnPages pages(300);
    pages.fill();
    pages.forbid(0, 1);
    pages.forbid(5, 1);
    pages.forbid(7, 2);
    pages.forbid(20, 200);
    pages.forbid(299, 1);
    CopiedMemory memory;
    CHECK(memory.copy_from(own_memory(), {pages.pages(0, 300)}) == (300 - 1 - 1 - 2 - 200 - 1) * page_size);
    for (std::size_t page = 0; page < 300; ++page) {
        const bool missing =
            page == 0 || page == 5 || page == 7 || page == 8 || (page >= 20 && page < 220) || page == 299;
        CHECK(memory.covers(pages.pages(page, 1)) != missing);
        const auto view = memory.view(pages.address(page));
        if (!missing && (view.size() < page_size ||
                         std::memcmp(view.data(), pages.data() + page * page_size, page_size) != 0))
            FAIL("page " << page);
    }
}

TEST_CASE("absurd ranges cost little and give nothing") {
    CopiedMemory memory;
    CHECK(memory.copy_from(own_memory(), {range(0, 1 << 20), range(0x10, 0x08), range(~0ULL - 100, ~0ULL)}) ==
          0);
    CHECK(memory.copy_from(own_memory(), {range(0, ~0ULL)}) == 0);
    CHECK(memory.total_bytes() == 0);
}

TEST_CASE("many ranges in many calls") {
    constexpr std::size_t slots = 20000;
    OwnPages pages(slots);
    pages.fill();
    const auto live = own_memory();
    std::mt19937 random(7);
    CopiedMemory memory;
    std::vector<bool> held(slots);
    for (int call = 0; call < 20; ++call) {
        std::vector<AddressRange> ranges;
        for (int i = 0; i < 2000; ++i) {
            const std::size_t slot = random() % slots;
            ranges.push_back({pages.address(slot, 64), pages.address(slot, 128)});
            held[slot] = true;
        }
        memory.copy_from(live, ranges);
    }
    std::size_t wrong = 0;
    for (std::size_t slot = 0; slot < slots; ++slot) {
        const auto view = memory.view(pages.address(slot, 64));
        if (held[slot] &&
            (view.size() < 64 || std::memcmp(view.data(), pages.data() + slot * page_size + 64, 64) != 0))
            ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(memory.total_bytes() >=
          static_cast<std::uint64_t>(std::count(held.begin(), held.end(), true)) * 64);
}

TEST_CASE("what was prepared is copied later, around what is missing") {
    OwnPages pages(64);
    pages.fill();
    CopiedMemory memory;
    std::vector<AddressRange> ranges;
    for (std::size_t page = 0; page < 64; page += 2) ranges.push_back(pages.pages(page, 1));
    std::ranges::reverse(ranges);
    memory.prepare(ranges);
    CHECK(memory.total_bytes() == 0);
    pages.data()[0] ^= std::byte{1};  // what is prepared was not read yet
    pages.forbid(4, 1);
    const auto live = own_memory();
    CHECK(memory.copy_prepared(live) == 31 * page_size);
    CHECK_FALSE(memory.covers(pages.pages(4, 1)));
    for (std::size_t page = 0; page < 64; page += 2) {
        if (page == 4) continue;
        CHECK(std::memcmp(memory.view(pages.address(page)).data(), pages.data() + page * page_size,
                          page_size) == 0);
    }
    CHECK(memory.copy_from(live, {pages.pages(0, 2)}) == page_size);
    const CopiedMemory moved = std::move(memory);
    CHECK(moved.covers(pages.pages(62, 1)));
}

TEST_CASE("words are read over missing pages, up to the last that is held") {
    OwnPages pages(6);
    pages.fill();
    CopiedMemory memory;
    memory.copy_from(own_memory(), {pages.pages(0, 1), pages.pages(3, 1)});
    std::vector<std::uint64_t> scratch;
    const auto words = memory.read_words(pages.pages(0, 6), scratch);
    REQUIRE(words.size() == 4 * page_size / 8);
    const auto is_zero = [](std::uint64_t word) { return word == 0; };
    CHECK(std::memcmp(words.data(), pages.data(), page_size) == 0);
    CHECK(std::ranges::all_of(words.subspan(page_size / 8, 2 * page_size / 8), is_zero));
    CHECK(memory.read_words(pages.pages(4, 2), scratch).empty());
}
