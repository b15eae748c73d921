#include "process/live_memory.h"

#include <sys/syscall.h>
#include <catch2/catch.hpp>
#include <thread>

#include "child.h"
#include "own_pages.h"

using namespace asyncdump;

TEST_CASE("reads end at the first byte that is missing") {
    OwnPages pages(4);
    pages.fill();
    pages.forbid(2, 1);
    const auto memory = LiveMemory::open(getpid());
    REQUIRE(memory);
    std::vector<std::byte> bytes(4 * page_size);
    CHECK(memory->read(pages.address(0), bytes) == 2 * page_size);
    CHECK(std::memcmp(bytes.data(), pages.data(), 2 * page_size) == 0);
    CHECK(memory->read(pages.address(0, 100), std::span(bytes).first(page_size)) == page_size);
    CHECK(std::memcmp(bytes.data(), pages.data() + 100, page_size) == 0);
    CHECK(memory->read(pages.address(1, 4000), bytes) == 96);
    CHECK(memory->read(pages.address(2), bytes) == 0);
    CHECK(memory->read(pages.address(2, 4095), bytes) == 0);
    CHECK(memory->read(pages.address(3, 4095), std::span(bytes).first(1)) == 1);
    CHECK(memory->read(pages.address(0), {}) == 0);
}

TEST_CASE("addresses that cannot be are missing memory") {
    const auto memory = LiveMemory::open(getpid());
    REQUIRE(memory);
    std::vector<std::byte> bytes(64);
    for (const std::uint64_t address :
         {0ULL, 1ULL, 0x7ffffffff000ULL, 0x8000000000000000ULL, 0xffffffff80000000ULL, ~0ULL, ~0ULL - 31}) {
        CHECK(memory->read(RemoteAddress(address), bytes) == 0);
        CHECK_FALSE(memory->read_value<int>(RemoteAddress(address)));
        CopyRequest request{RemoteAddress(address), bytes};
        memory->read_many({&request, 1});
        CHECK(request.copied == 0);
    }
}

TEST_CASE("many ranges are read at once, whatever is missing among them") {
    constexpr std::size_t count = 5000;
    OwnPages pages(count);
    pages.fill();
    std::vector<bool> missing(count);
    for (std::size_t i = 0; i < count; i += i % 7 == 0 ? 1 : 113) {
        pages.forbid(i, 1);
        missing[i] = true;
    }
    missing[1023] = missing[1024] = missing[1025] = true;
    pages.forbid(1023, 3);
    const auto memory = LiveMemory::open(getpid());
    REQUIRE(memory);
    std::vector<std::byte> bytes(count * 16);
    std::vector<CopyRequest> requests;
    for (std::size_t i = 0; i < count; ++i)
        requests.push_back(
            {pages.address(i, 1000), std::span(bytes).subspan(i * 16, i % 5 == 0 ? 0 : 16), 99});
    memory->read_many(requests);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t expected = i % 5 == 0 || missing[i] ? 0 : 16;
        if (requests[i].copied != expected) ++wrong;
        if (std::memcmp(bytes.data() + i * 16, pages.data() + i * page_size + 1000, expected) != 0) ++wrong;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a range across a missing page gets its leading bytes, and its neighbours theirs") {
    OwnPages pages(6);
    pages.fill();
    pages.forbid(3, 1);
    const auto memory = LiveMemory::open(getpid());
    REQUIRE(memory);
    std::vector<std::byte> bytes(8 * page_size);
    CopyRequest requests[] = {{pages.address(0), std::span(bytes).first(page_size)},
                              {pages.address(1, 8), std::span(bytes).subspan(page_size, 4 * page_size)},
                              {pages.address(4), std::span(bytes).subspan(5 * page_size, 2 * page_size)}};
    memory->read_many(requests);
    CHECK(requests[0].copied == page_size);
    CHECK(requests[1].copied == 2 * page_size - 8);
    CHECK(requests[2].copied == 2 * page_size);
    CHECK(std::memcmp(bytes.data() + page_size, pages.data() + page_size + 8, 2 * page_size - 8) == 0);
    CHECK(std::memcmp(bytes.data() + 5 * page_size, pages.data() + 4 * page_size, 2 * page_size) == 0);
}

TEST_CASE("another process is read, also when its main thread has ended") {
    Child child([](const Child::Parent& parent) {
        static std::uint64_t secret = 0x1122334455667788;
        std::thread([parent] {
            parent.receive<char>();
            parent.send(&secret);
            parent.wait_for_end();
        }).detach();
        parent.send(&secret);
        syscall(SYS_exit, 0);
    });
    const RemoteAddress secret(reinterpret_cast<std::uintptr_t>(child.receive<std::uint64_t*>()));
    const auto opened_before = LiveMemory::open(child.pid());
    REQUIRE(opened_before);
    CHECK(opened_before->read_value<std::uint64_t>(secret) == 0x1122334455667788);
    child.send('?');
    child.receive<std::uint64_t*>();
    CHECK(opened_before->read_value<std::uint64_t>(secret) == 0x1122334455667788);
    const auto opened_after = LiveMemory::open(child.pid());
    REQUIRE(opened_after);
    CHECK(opened_after->read_value<std::uint64_t>(secret) == 0x1122334455667788);
}

TEST_CASE("the memory of a process that is not there cannot be opened") {
    Child child([](const Child::Parent& parent) { parent.wait_for_end(); });
    const pid_t pid = child.pid();
    const auto memory = LiveMemory::open(pid);
    REQUIRE(memory);
    child.end();
    CHECK_FALSE(memory->read_value<int>(RemoteAddress(0x400000)));
    const auto again = LiveMemory::open(pid);
    REQUIRE_FALSE(again);
    CHECK(again.error().code == ErrorCode::process_gone);
}
