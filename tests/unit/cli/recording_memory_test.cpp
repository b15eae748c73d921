#include "cli/recording_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

using namespace asyncdump;

namespace {

constexpr std::size_t page = 4096;

/// Two pages of this process, the second one unreadable: the live target. What is held of the first page
/// differs from what stands there, so that one sees who answered.
struct Target {
    Target() {
        REQUIRE(pages != MAP_FAILED);
        std::memset(pages, 'L', page);
        REQUIRE(mprotect(static_cast<char*>(pages) + page, page, PROT_NONE) == 0);
        held.add(at(256), std::vector<std::byte>(256, std::byte{'H'}));
    }
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;
    ~Target() { munmap(pages, 2 * page); }

    RemoteAddress at(std::size_t offset) const {
        return RemoteAddress(reinterpret_cast<std::uintptr_t>(pages) + offset);
    }
    AddressRange range(std::size_t begin, std::size_t end) const { return {at(begin), at(end)}; }

    void* pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CopiedMemory held;
    LiveMemory live = LiveMemory::open(getpid()).value();
    RecordingMemory memory{held, live};
};

std::string read(const Memory& memory, RemoteAddress address, std::size_t bytes) {
    std::string text(bytes, '?');
    text.resize(memory.read(address, std::as_writable_bytes(std::span(text))));
    return text;
}

}  // namespace

TEST_CASE("what is held is answered from there and not noted", "[recording_memory]") {
    Target target;
    CHECK(read(target.memory, target.at(256), 256) == std::string(256, 'H'));
    CHECK(read(target.memory, target.at(300), 1) == "H");
    CHECK(target.memory.take_recorded().empty());
}

TEST_CASE("the rest is read from the target and noted", "[recording_memory]") {
    Target target;
    CHECK(read(target.memory, target.at(0), 16) == std::string(16, 'L'));
    // A part that is held does not make a mixture of two times.
    CHECK(read(target.memory, target.at(500), 24) == std::string(24, 'L'));
    const auto recorded = target.memory.take_recorded();
    REQUIRE(recorded.size() == 2);
    CHECK(recorded[0] == target.range(0, 16));
    CHECK(recorded[1] == target.range(500, 524));

    SECTION("taking begins anew") {
        CHECK(target.memory.take_recorded().empty());
        read(target.memory, target.at(8), 8);
        const auto again = target.memory.take_recorded();
        REQUIRE(again.size() == 1);
        CHECK(again[0] == target.range(8, 16));
    }
}

TEST_CASE("only what could be read is noted", "[recording_memory]") {
    Target target;
    CHECK(read(target.memory, target.at(page), 8).empty());
    CHECK(read(target.memory, RemoteAddress(0), 8).empty());
    CHECK(target.memory.take_recorded().empty());
    CHECK(read(target.memory, target.at(page - 8), 64) == std::string(8, 'L'));
    const auto recorded = target.memory.take_recorded();
    REQUIRE(recorded.size() == 1);
    CHECK(recorded[0] == target.range(page - 8, page));
}

TEST_CASE("threads may read at once", "[recording_memory]") {
    Target target;
    constexpr std::size_t threads = 4, reads = 500;
    {
        std::vector<std::jthread> readers;
        for (std::size_t i = 0; i < threads; ++i) {
            readers.emplace_back([&] {
                for (std::size_t j = 0; j < reads; ++j) target.memory.read_pointer(target.at(8 * (j % 16)));
            });
        }
    }
    CHECK(target.memory.take_recorded().size() == 16);
}

TEST_CASE("words that were noted are not noted again, others of their page are", "[recording_memory]") {
    Target target;
    read(target.memory, target.at(0), 16);
    read(target.memory, target.at(8), 8);
    read(target.memory, target.at(8), 16);
    read(target.memory, target.at(33), 1);
    read(target.memory, target.at(34), 1);
    const auto recorded = target.memory.take_recorded();
    REQUIRE(recorded.size() == 4);
    CHECK(recorded[1] == target.range(8, 24));
    CHECK(recorded[2] == target.range(33, 34));
    CHECK(recorded[3] == target.range(34, 35));
}

TEST_CASE("the notes are bounded, reading is not", "[recording_memory]") {
    Target target;
    for (std::size_t i = 0; i < RecordingMemory::most_ranges; ++i)
        target.memory.read_value<char>(target.at(i % 200));
    CHECK(target.memory.read_value<char>(target.at(700)) == 'L');
    const auto recorded = target.memory.take_recorded();
    CHECK(recorded.size() == RecordingMemory::most_ranges);
    CHECK(std::ranges::find(recorded, target.range(700, 701)) == recorded.end());
}
