#include <catch2/catch.hpp>
#include <map>

#include "process/memory.h"
#include "runtimes/cpp20/frame_pointer.h"
#include "suspend_code_module.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t base = 0x1000;
constexpr std::uint64_t frame = 0x5000, decoy = 0x6000;
/// The stack pointer when the function was entered.
constexpr std::uint64_t entry_stack = 0x9000;

class Words final : public Memory {
  public:
    std::map<std::uint64_t, std::uint64_t> words;

    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        const auto word = words.find(address.value());
        if (word == words.end() || destination.size() != 8) return 0;
        std::memcpy(destination.data(), &word->second, 8);
        return 8;
    }
};

using Function = FramePointerPlaces::Function;

/// The frame of an activation that stands behind a call that returns to `return_address`, with its stack
/// pointer at `stack`.
std::optional<std::uint64_t> frame_at(std::vector<unsigned char> bytes, std::uint64_t return_address,
                                      std::uint64_t stack,
                                      std::map<Registers::Number, std::uint64_t> registers,
                                      const Words& memory = {},
                                      Function function = Function::resume_or_destroy) {
    const CodeModule module(base, std::move(bytes));
    const ImportedFunctions imported(module);
    const FunctionCode code(module, imported, std::vector{module.range()});
    const FramePointerPlaces places(code, RemoteAddress(base), function, RemoteAddress(0x1100));
    UnwoundFrame activation;
    activation.pc = RemoteAddress(return_address);
    activation.canonical_frame_address = RemoteAddress(entry_stack + 8);
    activation.registers.set(Registers::rsp, stack);
    for (const auto& [number, value] : registers) activation.registers.set(number, value);
    const auto found = places.frame_of(activation, memory);
    return found ? std::optional(found->value()) : std::nullopt;
}

}  // namespace

TEST_CASE("a preserved register holds the frame's address") {
    const std::vector<unsigned char> bytes = {
        0x53,                          // 1000 push %rbx
        0x48, 0x83, 0xec, 0x10,        // 1001 sub $0x10,%rsp
        0x48, 0x89, 0xfb,              // 1005 mov %rdi,%rbx
        0xe8, 0xf3, 0x00, 0x00, 0x00,  // 1008 call 1100
        0x48, 0x83, 0xc4, 0x10,        // 100d add $0x10,%rsp
        0x5b,                          // 1011 pop %rbx
        0xc3,                          // 1012 ret
    };
    CHECK(frame_at(bytes, 0x100d, entry_stack - 0x18, {{Registers::rbx, frame}, {Registers::r12, decoy}}) ==
          frame);
    SECTION("unless unwinding does not know it") {
        CHECK_FALSE(frame_at(bytes, 0x100d, entry_stack - 0x18, {{Registers::r12, decoy}}));
    }
    SECTION("no call returns into the middle of an instruction") {
        CHECK_FALSE(frame_at(bytes, 0x100c, entry_stack - 0x18, {{Registers::rbx, frame}}));
    }
}

TEST_CASE("a word of the stack holds it when the register is used for something else") {
    Words memory;
    memory.words[entry_stack - 0x20] = frame;
    memory.words[entry_stack - 0x18] = decoy;
    const std::vector<unsigned char> bytes = {
        0x53,                          // 1000 push %rbx
        0x48, 0x83, 0xec, 0x20,        // 1001 sub $0x20,%rsp
        0x48, 0x89, 0x7c, 0x24, 0x08,  // 1005 mov %rdi,0x8(%rsp)
        0x48, 0x8b, 0x5f, 0x18,        // 100a mov 0x18(%rdi),%rbx
        0x48, 0x8d, 0x7c, 0x24, 0x10,  // 100e lea 0x10(%rsp),%rdi
        0xe8, 0xe8, 0x00, 0x00, 0x00,  // 1013 call 1100
        0x48, 0x8b, 0x7c, 0x24, 0x08,  // 1018 mov 0x8(%rsp),%rdi
        0xe8, 0xde, 0x00, 0x00, 0x00,  // 101d call 1100
        0xc3,                          // 1022 ret
    };
    for (const std::uint64_t return_address : {0x1018, 0x1022})
        CHECK(frame_at(bytes, return_address, entry_stack - 0x28, {{Registers::rbx, decoy}}, memory) ==
              frame);
}

TEST_CASE("what a callee may have changed is not believed") {
    Words memory;
    memory.words[entry_stack - 0x10] = decoy;
    const std::vector<unsigned char> bytes = {
        0x48, 0x83, 0xec, 0x28,        // 1000 sub $0x28,%rsp
        0x48, 0x89, 0x7c, 0x24, 0x18,  // 1004 mov %rdi,0x18(%rsp)
        0x48, 0x8d, 0x7c, 0x24, 0x10,  // 1009 lea 0x10(%rsp),%rdi
        0xe8, 0xed, 0x00, 0x00, 0x00,  // 100e call 1100
        0xc3,                          // 1013 ret
    };
    CHECK_FALSE(frame_at(bytes, 0x1013, entry_stack - 0x28, {}, memory));
}

TEST_CASE("a callee cannot change what it is told of only later") {
    const std::vector<unsigned char> bytes = {
        0x53,                          // 1000 push %rbx
        0x48, 0x83, 0xec, 0x20,        // 1001 sub $0x20,%rsp
        0x48, 0x89, 0x7c, 0x24, 0x18,  // 1005 mov %rdi,0x18(%rsp)
        0xe8, 0xf1, 0x00, 0x00, 0x00,  // 100a call 1100
        0x48, 0x8b, 0x5c, 0x24, 0x18,  // 100f mov 0x18(%rsp),%rbx
        0x48, 0x8d, 0x7c, 0x24, 0x10,  // 1014 lea 0x10(%rsp),%rdi
        0xe8, 0xe2, 0x00, 0x00, 0x00,  // 1019 call 1100
        0xc3,                          // 101e ret
    };
    CHECK(frame_at(bytes, 0x101e, entry_stack - 0x28, {{Registers::rbx, frame}, {Registers::r12, decoy}}) ==
          frame);
}

TEST_CASE("a register counts only when it holds the address on every way") {
    const std::vector<unsigned char> bytes = {
        0x53,                                // 1000 push %rbx
        0x48, 0x89, 0xfb,                    // 1001 mov %rdi,%rbx
        0x83, 0x7f, 0x20, 0x00,              // 1004 cmpl $0,0x20(%rdi)
        0x0f, 0x84, 0x04, 0x00, 0x00, 0x00,  // 1008 je 1012
        0x48, 0x8b, 0x5f, 0x28,              // 100e mov 0x28(%rdi),%rbx
        0x90,                                // 1012 nop
        0x90,                                // 1013 nop
        0xe8, 0xe7, 0x00, 0x00, 0x00,        // 1014 call 1100
        0xc3,                                // 1019 ret
    };
    CHECK_FALSE(frame_at(bytes, 0x1019, entry_stack - 8, {{Registers::rbx, decoy}}));
}

TEST_CASE("an exception's handler has what every call preserves") {
    const std::vector<unsigned char> bytes = {
        0x53,                          // 1000 push %rbx
        0x48, 0x89, 0xfb,              // 1001 mov %rdi,%rbx
        0xe8, 0xf7, 0x00, 0x00, 0x00,  // 1004 call 1100
        0x5b,                          // 1009 pop %rbx
        0xc3,                          // 100a ret
        0x48, 0x89, 0xc7,              // 100b mov %rax,%rdi
        0xe8, 0xed, 0x00, 0x00, 0x00,  // 100e call 1100
        0xc3,                          // 1013 ret
    };
    CHECK(frame_at(bytes, 0x1013, entry_stack - 8, {{Registers::rbx, frame}}) == frame);
}

TEST_CASE("in a ramp the frame is where the resume function's address is stored") {
    const std::vector<unsigned char> bytes = {
        0x53,                                      // 1000 push %rbx
        0xbf, 0x30, 0x00, 0x00, 0x00,              // 1001 mov $0x30,%edi
        0xe8, 0xf5, 0x01, 0x00, 0x00,              // 1006 call 1200
        0x48, 0x8d, 0x0d, 0xee, 0x00, 0x00, 0x00,  // 100b lea 1100(%rip),%rcx
        0x48, 0x89, 0x08,                          // 1012 mov %rcx,(%rax)
        0x48, 0x89, 0xc3,                          // 1015 mov %rax,%rbx
        0xe8, 0xe3, 0x02, 0x00, 0x00,              // 1018 call 1300
        0xc3,                                      // 101d ret
    };
    CHECK(frame_at(bytes, 0x101d, entry_stack - 8, {{Registers::rbx, frame}}, {}, Function::ramp) == frame);
    SECTION("no other argument or result is the frame") {
        CHECK_FALSE(frame_at(bytes, 0x100b, entry_stack - 8, {{Registers::rbx, decoy}}, {}, Function::ramp));
    }
}

TEST_CASE("bytes that are no instructions say nothing") {
    const std::vector<unsigned char> bytes = {0x48, 0x89, 0xfb, 0x06, 0xe8, 0xf3, 0x00, 0x00, 0x00, 0xc3};
    CHECK_FALSE(frame_at(bytes, 0x1009, entry_stack, {{Registers::rbx, frame}}));
}
