#include <algorithm>
#include <catch2/catch.hpp>
#include <random>

#include "runtimes/cpp20/store_sites.h"
#include "suspend_code_module.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t base = 0x1000;

struct Found {
    std::uint64_t index;
    std::uint64_t store, constant;
    bool through_join;
    friend bool operator==(const Found&, const Found&) = default;
};

std::vector<Found> sites_of(std::vector<unsigned char> bytes, IndexField field,
                            FunctionRole role = FunctionRole::resume, std::uint64_t resume = base) {
    const CodeModule module(base, std::move(bytes));
    const ImportedFunctions imported(module);
    const FunctionCode code(module, imported, std::vector{module.range()});
    std::vector<Found> found;
    for (const StoreSite& site :
         find_store_sites(imported, code, RemoteAddress(base), role, RemoteAddress(resume), field)) {
        found.push_back({site.index, code.at(site.store).address.value(),
                         code.at(site.constant).address.value(), site.through_join});
    }
    std::ranges::sort(found, {}, &Found::index);
    return found;
}

}  // namespace

TEST_CASE("an immediate, and one that covers more than the index") {
    const auto found = sites_of(
        {
            0x66, 0xc7, 0x47, 0x20, 0x04, 0x00,        // 1000 movw $4,0x20(%rdi)
            0xc7, 0x47, 0x20, 0x06, 0x00, 0x01, 0x00,  // 1006 movl $0x10006,0x20(%rdi)
            0xc7, 0x47, 0x1e, 0x09, 0x00, 0x08, 0x00,  // 100d movl $0x80009,0x1e(%rdi)
            0xc3,
        },
        {0x20, 2});
    CHECK(found == std::vector<Found>{
                       {4, 0x1000, 0x1000, false}, {6, 0x1006, 0x1006, false}, {8, 0x100d, 0x100d, false}});
}

TEST_CASE("a constant that waits in a register, also behind a call") {
    const auto found = sites_of(
        {
            0xb9, 0x06, 0x00, 0x00, 0x00,  // 1000 mov $6,%ecx
            0xe8, 0xf6, 0x00, 0x00, 0x00,  // 1005 call 1100
            0x66, 0x89, 0x4f, 0x20,        // 100a mov %cx,0x20(%rdi)
            0x31, 0xc0,                    // 100e xor %eax,%eax
            0x66, 0x89, 0x47, 0x20,        // 1010 mov %ax,0x20(%rdi)
            0xc3,
        },
        {0x20, 2});
    CHECK(found == std::vector<Found>{{0, 0x1010, 0x100e, false}, {6, 0x100a, 0x1000, false}});
}

TEST_CASE("two constants that meet in one store") {
    const auto found = sites_of(
        {
            0x83, 0x7f, 0x30, 0x00,        // 1000 cmpl $0,0x30(%rdi)
            0x74, 0x07,                    // 1004 je 100d
            0xb8, 0x04, 0x00, 0x00, 0x00,  // 1006 mov $4,%eax
            0xeb, 0x05,                    // 100b jmp 1012
            0xb8, 0x06, 0x00, 0x00, 0x00,  // 100d mov $6,%eax
            0x66, 0x89, 0x47, 0x20,        // 1012 mov %ax,0x20(%rdi)
            0xc3,
        },
        {0x20, 2});
    CHECK(found == std::vector<Found>{{4, 0x1012, 0x1006, true}, {6, 0x1012, 0x100d, true}});
}

TEST_CASE("stores into other objects are none") {
    CHECK(sites_of(
              {
                  0x48, 0x8b, 0x47, 0x18,                    // mov 0x18(%rdi),%rax
                  0x66, 0xc7, 0x40, 0x20, 0x04, 0x00,        // movw $4,0x20(%rax)
                  0xe8, 0x00, 0x01, 0x00, 0x00,              // call
                  0x66, 0xc7, 0x40, 0x20, 0x06, 0x00,        // movw $6,0x20(%rax)
                  0x66, 0xc7, 0x44, 0x24, 0x20, 0x08, 0x00,  // movw $8,0x20(%rsp)
                  0xc3,
              },
              {0x20, 2})
              .empty());
}

TEST_CASE("the frame is followed through the stack and through the field's address") {
    const auto spilled = sites_of(
        {
            0x55,                                // 1000 push %rbp
            0x48, 0x89, 0xe5,                    // 1001 mov %rsp,%rbp
            0x48, 0x89, 0x7d, 0xe8,              // 1004 mov %rdi,-0x18(%rbp)
            0x48, 0x8b, 0x45, 0xe8,              // 1008 mov -0x18(%rbp),%rax
            0x66, 0xc7, 0x40, 0x20, 0x04, 0x00,  // 100c movw $4,0x20(%rax)
            0xc3,
        },
        {0x20, 2});
    CHECK(spilled == std::vector<Found>{{4, 0x100c, 0x100c, false}});
    const auto address = sites_of(
        {
            0x48,
            0x8d,
            0x47,
            0x11,  // 1000 lea 0x11(%rdi),%rax
            0xc6,
            0x00,
            0x03,  // 1004 movb $3,(%rax)
            0xc6,
            0x07,
            0x05,  // 1007 movb $5,(%rdi)
            0xc3,
        },
        {0x11, 1});
    CHECK(address == std::vector<Found>{{3, 0x1004, 0x1004, false}});
}

TEST_CASE("a ramp's frame is what receives the resume function's address") {
    const auto found = sites_of(
        {
            0xe8, 0xfb, 0x00, 0x00, 0x00,              // 1000 call 1100
            0x48, 0x8d, 0x0d, 0xf4, 0x0f, 0x00, 0x00,  // 1005 lea 2000(%rip),%rcx
            0x48, 0x89, 0x08,                          // 100c mov %rcx,(%rax)
            0xc6, 0x40, 0x11, 0x00,                    // 100f movb $0,0x11(%rax)
            0xe8, 0xe8, 0x00, 0x00, 0x00,              // 1013 call 1100
            0xc6, 0x40, 0x11, 0x01,                    // 1018 movb $1,0x11(%rax): another object
            0xc3,
        },
        {0x11, 1}, FunctionRole::ramp, 0x2000);
    CHECK(found == std::vector<Found>{{0, 0x100f, 0x100f, false}});
}

TEST_CASE("a store before an address within the frame") {
    const auto found = sites_of(
        {
            0xba,
            0x04,
            0x00,
            0x00,
            0x00,  // 1000 mov $4,%edx
            0x48,
            0x8d,
            0x7f,
            0x50,  // 1005 lea 0x50(%rdi),%rdi
            0x66,
            0x89,
            0x57,
            0xf4,  // 1009 mov %dx,-0xc(%rdi)
            0x66,
            0x89,
            0x57,
            0x44,  // 100d mov %dx,0x44(%rdi): another field
            0xc3,
        },
        {0x44, 2});
    CHECK(found == std::vector<Found>{{4, 0x1009, 0x1000, false}});
}

TEST_CASE("a recursion that became a loop goes on with the new coroutine's frame") {
    const auto found = sites_of(
        {
            0x48, 0x89, 0xfb,                          // 1000 mov %rdi,%rbx
            0xe8, 0xf8, 0x00, 0x00, 0x00,              // 1003 call 1100
            0x48, 0x8d, 0x0d, 0xf1, 0xff, 0xff, 0xff,  // 1008 lea 1000(%rip),%rcx
            0x48, 0x89, 0x08,                          // 100f mov %rcx,(%rax)
            0xc6, 0x40, 0x11, 0x00,                    // 1012 movb $0,0x11(%rax): the new one only
            0xc6, 0x43, 0x11, 0x02,                    // 1016 movb $2,0x11(%rbx)
            0x48, 0x89, 0xc3,                          // 101a mov %rax,%rbx
            0xeb, 0xe4,                                // 101d jmp 1003
        },
        {0x11, 1});
    CHECK(found == std::vector<Found>{{2, 0x1016, 0x1016, false}});
    const auto no_frame = sites_of(
        {
            0x48, 0x89, 0xfb,              // 1000 mov %rdi,%rbx
            0xe8, 0xf8, 0x00, 0x00, 0x00,  // 1003 call 1100
            0xc6, 0x43, 0x11, 0x02,        // 1008 movb $2,0x11(%rbx): a frame or any other object
            0x48, 0x89, 0xc3,              // 100c mov %rax,%rbx
            0xeb, 0xf2,                    // 100f jmp 1003
        },
        {0x11, 1});
    CHECK(no_frame.empty());
}

TEST_CASE("random code neither hangs nor crashes the slicer") {
    std::mt19937_64 random(3);
    for (int round = 0; round < 2000; ++round) {
        std::vector<unsigned char> bytes(400);
        for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
        for (std::size_t at = 0; at + 6 < bytes.size(); at += 40) {
            const unsigned char store[] = {0x66, 0x89, 0x47, 0x20};
            std::copy(std::begin(store), std::end(store), bytes.begin() + static_cast<std::ptrdiff_t>(at));
        }
        sites_of(bytes, {0x20, 2});
        sites_of(std::move(bytes), {0x20, 2}, FunctionRole::ramp);
    }
}
