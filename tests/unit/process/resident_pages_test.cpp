#include "process/resident_pages.h"

#include <unistd.h>

#include <catch2/catch.hpp>

#include "child.h"
#include "own_pages.h"
#include "process/untouched_pages.h"

using namespace asyncdump;

namespace {
std::vector<AddressRange> parts(const std::vector<AddressRange>& ranges) {
    return resident_parts(getpid(), ranges);
}
}  // namespace

TEST_CASE("pages that were never touched are left out") {
    OwnPages pages(100);
    CHECK(parts({pages.pages(0, 100)}).empty());
    pages.fill_page(3);
    pages.fill_page(4);
    pages.fill_page(50);
    CHECK(parts({pages.pages(0, 100)}) == std::vector{pages.pages(3, 2), pages.pages(50, 1)});
}

TEST_CASE("parts never leave what was asked for, and come sorted") {
    OwnPages pages(10);
    pages.fill();
    const AddressRange late{pages.address(7, 100), pages.address(7, 200)};
    const AddressRange early{pages.address(1, 4000), pages.address(3, 10)};
    CHECK(parts({late, early, early}) == std::vector{early, late});
    CHECK(parts({}).empty());
    CHECK(parts({{pages.address(2), pages.address(2)}}).empty());
}

TEST_CASE("data of the program that nobody has touched yet is data") {
    static int variable = 42;  // .data: its page may still be the file's
    const RemoteAddress address(reinterpret_cast<std::uintptr_t>(&variable));
    const AddressRange range{address, address + sizeof variable};
    CHECK(parts({range}) == std::vector{range});
}

TEST_CASE("reserved address space of any size is no work") {
    constexpr std::size_t terabyte = 1ULL << 40;
    void* const reserved =
        mmap(nullptr, terabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(reserved != MAP_FAILED);
    const RemoteAddress begin(reinterpret_cast<std::uintptr_t>(reserved));
    madvise(reserved, terabyte, MADV_NOHUGEPAGE);
    static_cast<char*>(reserved)[terabyte / 2] = 1;
    const RemoteAddress touched = begin + terabyte / 2;
    CHECK(parts({{begin, begin + terabyte}}) == std::vector{AddressRange{touched, touched + page_size}});
    munmap(reserved, terabyte);
}

TEST_CASE("shared memory of the target is asked without making the kernel allocate it") {
    Child child([](const Child::Parent& parent) {
        constexpr std::size_t size = 64 * page_size;
        auto* const bytes = static_cast<char*>(
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        madvise(bytes, size, MADV_NOHUGEPAGE);
        bytes[5 * page_size] = 1;
        bytes[9 * page_size] = 1;
        // Written, but not in the page table any more, as after swapping.
        madvise(bytes + 9 * page_size, page_size, MADV_DONTNEED);
        parent.send(bytes);
        parent.wait_for_end();
    });
    const RemoteAddress begin(reinterpret_cast<std::uintptr_t>(child.receive<char*>()));
    std::vector expected{AddressRange{begin + 5 * page_size, begin + 6 * page_size}};
    if (geteuid() == 0)
        expected.push_back({begin + 9 * page_size, begin + 10 * page_size});
    else
        WARN("the page that is not in the page table is found only by root");
    CHECK(resident_parts(child.pid(), {{begin, begin + 64 * page_size}}) == expected);
}

TEST_CASE("without the target's page tables everything is asked for") {
    const std::vector ranges{AddressRange{RemoteAddress(0x1000), RemoteAddress(0x5000)}};
    CHECK(resident_parts(-1, ranges) == ranges);
}

TEST_CASE("a page counts as untouched that held nothing before and holds nothing now") {
    OwnPages pages(4);
    pages.fill_page(0);
    const auto map = MemoryMap::read(getpid());
    REQUIRE(map);
    const auto resident = parts({pages.pages(0, 4)});
    pages.fill_page(2);
    const UntouchedPages untouched(getpid(), *map, resident);
    CHECK_FALSE(untouched.contains(pages.address(0)));
    CHECK(untouched.contains(pages.address(1, 17)));
    CHECK_FALSE(untouched.contains(pages.address(2)));
    CHECK(parts({pages.pages(1, 1)}).empty());
    CHECK_FALSE(untouched.contains(RemoteAddress(64)));
}
