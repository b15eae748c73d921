#include "runtimes/cpp20/dispatch_interpreter.h"

#include <catch2/catch.hpp>
#include <random>

#include "runtimes/cpp20/function_code.h"
#include "suspend_code_module.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t base = 0x1000;

struct Program {
    explicit Program(std::vector<unsigned char> bytes)
        : module(base, std::move(bytes)),
          imported(module),
          code(module, imported, std::vector{module.range()}) {
        interpreted.instruction_at = [this](RemoteAddress address) -> const Instruction* {
            const auto position = code.find(address);
            return position == FunctionCode::nowhere ? nullptr : &code.at(position);
        };
        interpreted.read_constant = [this](RemoteAddress address, std::span<std::byte> destination) {
            return module.read_file_bytes(address, destination);
        };
    }
    DispatchTrace find_field() {
        return interpret_dispatch(interpreted, RemoteAddress(base), std::nullopt, 0);
    }
    DispatchTrace at_index(IndexField field, std::uint64_t index) {
        return interpret_dispatch(interpreted, RemoteAddress(base), field, index);
    }

    CodeModule module;
    ImportedFunctions imported;
    FunctionCode code;
    InterpretedCode interpreted;
};

}  // namespace

TEST_CASE("a chain of comparisons: the field, its width, and where each index goes on") {
    Program program({
        0x0f, 0xb7, 0x47, 0x20,              // 1000 movzwl 0x20(%rdi),%eax
        0x66, 0x83, 0xf8, 0x04,              // 1004 cmp $4,%ax
        0x74, 0x05,                          // 1008 je 100f
        0x66, 0x83, 0xf8, 0x02,              // 100a cmp $2,%ax
        0xc3,                                // 100e ret
        0x66, 0xc7, 0x47, 0x20, 0x06, 0x00,  // 100f movw $6,0x20(%rdi)
        0xc3,                                // 1015 ret
    });
    const auto field = program.find_field().field;
    REQUIRE(field);
    CHECK(field->offset == 0x20);
    CHECK(field->width == 2);

    const DispatchTrace four = program.at_index(*field, 4);
    CHECK(four.resume_address == RemoteAddress(0x100f));
    CHECK(four.stop == DispatchTrace::Stop::stored_again);
    CHECK(four.path == std::vector{RemoteAddress(0x100f)});
    const DispatchTrace two = program.at_index(*field, 2);
    CHECK(two.resume_address == RemoteAddress(0x100a));
    CHECK(two.stop == DispatchTrace::Stop::returned);
}

TEST_CASE("a jump table relative to itself") {
    Program program({
        0x0f, 0xb6, 0x47, 0x11,                    // 1000 movzbl 0x11(%rdi),%eax
        0x48, 0x8d, 0x15, 0x10, 0x00, 0x00, 0x00,  // 1004 lea 101b(%rip),%rdx
        0x48, 0x63, 0x04, 0x82,                    // 100b movslq (%rdx,%rax,4),%rax
        0x48, 0x01, 0xd0,                          // 100f add %rdx,%rax
        0xff, 0xe0,                                // 1012 jmp *%rax
        0x90,                                      // 1014 nop
        0xc3,                                      // 1015 ret
        0xe8, 0x00, 0x00, 0x00, 0x00,              // 1016 call 101b
        0xf9, 0xff, 0xff, 0xff,                    // 101b: 1014
        0xfb, 0xff, 0xff, 0xff,                    // 101f: 1016
    });
    const auto field = program.find_field().field;
    REQUIRE(field);
    CHECK(field->offset == 0x11);
    CHECK(field->width == 1);
    CHECK(program.at_index(*field, 0).resume_address == RemoteAddress(0x1014));
    CHECK(program.at_index(*field, 1).resume_address == RemoteAddress(0x1016));
    CHECK(program.at_index(*field, 1).stop == DispatchTrace::Stop::call);

    const auto jump = program.code.find(RemoteAddress(0x1012));
    REQUIRE(jump != FunctionCode::nowhere);
    CHECK(program.code.successors(jump).size() == 2);
}

TEST_CASE("a conditional move decides, and a zero keeps its origin") {
    Program program({
        0x0f, 0xb6, 0x47, 0x18,        // 1000 movzbl 0x18(%rdi),%eax
        0xb9, 0x16, 0x10, 0x00, 0x00,  // 1004 mov $1016,%ecx
        0xba, 0x17, 0x10, 0x00, 0x00,  // 1009 mov $1017,%edx
        0x84, 0xc0,                    // 100e test %al,%al
        0x0f, 0x44, 0xca,              // 1010 cmove %edx,%ecx
        0xff, 0xe1,                    // 1013 jmp *%rcx
        0x90,                          // 1015 nop
        0xc3,                          // 1016 ret
        0xc3,                          // 1017 ret
    });
    const auto field = program.find_field().field;
    REQUIRE(field);
    CHECK(field->offset == 0x18);
    CHECK(program.at_index(*field, 0).resume_address == RemoteAddress(0x1017));
    CHECK(program.at_index(*field, 1).resume_address == RemoteAddress(0x1016));
}

TEST_CASE("the index is found through the stack, behind a call before the dispatch") {
    Program program({
        0x55,                          // 1000 push %rbp
        0x48, 0x89, 0xe5,              // 1001 mov %rsp,%rbp
        0x48, 0x83, 0xec, 0x20,        // 1004 sub $0x20,%rsp
        0x48, 0x89, 0x7d, 0xe8,        // 1008 mov %rdi,-0x18(%rbp)
        0xe8, 0x00, 0x00, 0x00, 0x00,  // 100c call 1011
        0x48, 0x8b, 0x45, 0xe8,        // 1011 mov -0x18(%rbp),%rax
        0x0f, 0xb7, 0x40, 0x28,        // 1015 movzwl 0x28(%rax),%eax
        0x83, 0xe0, 0x01,              // 1019 and $1,%eax
        0x66, 0x85, 0xc0,              // 101c test %ax,%ax
        0x74, 0x01,                    // 101f je 1022
        0xc9,                          // 1021 leave
        0xc3,                          // 1022 ret
    });
    const auto field = program.find_field().field;
    REQUIRE(field);
    CHECK(field->offset == 0x28);
    CHECK(program.at_index(*field, 4).resume_address == RemoteAddress(0x1022));
    CHECK(program.at_index(*field, 5).resume_address == RemoteAddress(0x1021));
}

TEST_CASE("what the user keeps in the frame is not followed") {
    Program program({
        0x80, 0x7f, 0x11, 0x00,  // 1000 cmpb $0,0x11(%rdi)
        0x74, 0x01,              // 1004 je 1007
        0xc3,                    // 1006 ret
        0x83, 0x7f, 0x30, 0x00,  // 1007 cmpl $0,0x30(%rdi)
        0x74, 0x01,              // 100b je 100e
        0xc3,                    // 100d ret
        0xc3,                    // 100e ret
    });
    const DispatchTrace trace = program.at_index({0x11, 1}, 0);
    CHECK(trace.resume_address == RemoteAddress(0x1007));
    CHECK(trace.stop == DispatchTrace::Stop::unknown);
    CHECK(trace.path.back() == RemoteAddress(0x100b));
}

TEST_CASE("the header is no index, and a function without a decision has none") {
    Program header({
        0x48, 0x83, 0x3f, 0x00,  // cmpq $0,(%rdi)
        0x74, 0x00,              // je next
        0xc3,                    // ret
    });
    CHECK_FALSE(header.find_field().field);
    Program straight({0x48, 0x89, 0xf8, 0xc3});  // mov %rdi,%rax; ret
    CHECK_FALSE(straight.find_field().field);
}

TEST_CASE("an endless loop ends") {
    Program program({0xeb, 0xfe});
    CHECK(program.find_field().stop == DispatchTrace::Stop::too_long);
}

TEST_CASE("random code neither hangs nor crashes") {
    std::mt19937_64 random(20);
    std::vector<unsigned char> bytes(512);
    for (int round = 0; round < 3000; ++round) {
        for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random());
        // A plausible beginning, so that the runs get further than one instruction.
        const unsigned char begin[] = {0x0f, 0xb7, 0x47, 0x20, 0x83, 0xf8, 0x04, 0x74, 0x02};
        if (round % 2 == 0) std::copy(std::begin(begin), std::end(begin), bytes.begin());
        Program program(bytes);
        program.find_field();
        for (std::uint64_t index = 0; index < 4; ++index) program.at_index({0x20, 2}, index);
        program.at_index({0xffff'fff0, 8}, ~0ULL);
    }
}
