#include <catch2/catch.hpp>

#include "runtimes/cpp20/reused_words.h"
#include "runtimes/cpp20/undescribed_frames.h"
#include "suspend_code_module.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

constexpr std::uint64_t base = 0x1000;

/// A resume function of these bytes.
struct Code {
    CodeModule module;
    ImportedFunctions imported{module};
    FunctionCode code{module, imported, std::vector{module.range()}};
    ValueSources sources{code, RemoteAddress(base)};
    FrameBases bases{imported, code, sources, FunctionRole::resume, RemoteAddress(base)};

    explicit Code(std::vector<unsigned char> bytes) : module(base, std::move(bytes)) {}
};

AddressRange range(std::uint64_t begin, std::uint64_t end) {
    return {RemoteAddress(begin), RemoteAddress(end)};
}

}  // namespace

TEST_CASE("a local's word of the frame that something else is stored into") {
    const Code function({
        0x48, 0x89, 0x47, 0x28,                          // 1000 mov %rax,0x28(%rdi)
        0x90,                                            // 1004 nop
        0x48, 0xc7, 0x47, 0x28, 0x00, 0x00, 0x00, 0x00,  // 1005 movq $0,0x28(%rdi)
        0x48, 0x89, 0x4f, 0x28,                          // 100d mov %rcx,0x28(%rdi)
        0xc3,                                            // 1011 ret
    });
    const std::vector first = {range(0x1004, 0x1005)};
    CHECK(is_reused(function.code, function.bases, 0x28, first));
    const std::vector both = {range(0x1004, 0x1005), range(0x1011, 0x1012)};
    CHECK_FALSE(is_reused(function.code, function.bases, 0x28, both));
    CHECK_FALSE(is_reused(function.code, function.bases, 0x30, first));
}

TEST_CASE("a word that is emptied is not reused") {
    const Code function({
        0x48, 0x89, 0x47, 0x28,                          // 1000 mov %rax,0x28(%rdi)
        0x90,                                            // 1004 nop
        0x48, 0xc7, 0x47, 0x28, 0x00, 0x00, 0x00, 0x00,  // 1005 movq $0,0x28(%rdi)
        0xc3,                                            // 100d ret
    });
    CHECK_FALSE(is_reused(function.code, function.bases, 0x28, std::vector{range(0x1004, 0x1005)}));
}

TEST_CASE("what is read after the resume pointer became null is the promise's") {
    const Code function({
        0x48, 0x8b, 0x4f, 0x38,                    // 1000 mov 0x38(%rdi),%rcx
        0x48, 0xc7, 0x07, 0x00, 0x00, 0x00, 0x00,  // 1004 movq $0,(%rdi)
        0xc6, 0x47, 0x40, 0x02,                    // 100b movb $2,0x40(%rdi)
        0x48, 0x8b, 0x47, 0x28,                    // 100f mov 0x28(%rdi),%rax
        0xff, 0x20,                                // 1013 jmp *(%rax)
    });
    const CodeKnowledge knowledge = knowledge_from_code(function.imported, function.code, function.bases);
    CHECK(knowledge.promise.begin == 16);
    CHECK(knowledge.promise.end == 0x30);
    CHECK(knowledge.gives_itself_at.empty());
}

TEST_CASE("a coroutine that stores its own frame's address") {
    const Code function({
        0x48, 0x8b, 0x47, 0x20,  // 1000 mov 0x20(%rdi),%rax
        0x48, 0x89, 0x78, 0x18,  // 1004 mov %rdi,0x18(%rax)
        0x48, 0x89, 0x48, 0x30,  // 1008 mov %rcx,0x30(%rax)
        0x48, 0x89, 0x7f, 0x58,  // 100c mov %rdi,0x58(%rdi)
        0xc3,                    // 1010 ret
    });
    const CodeKnowledge knowledge = knowledge_from_code(function.imported, function.code, function.bases);
    CHECK(knowledge.gives_itself_at == std::vector<std::uint32_t>{0x18});
    CHECK(knowledge.gives_itself_inside == std::vector<std::uint32_t>{0x58});
    CHECK(knowledge.promise.end == 0);
}

TEST_CASE("the words that are read where a coroutine goes on, up to its first call") {
    const Code function({
        0x80, 0x7f, 0x40, 0x00,        // 1000 cmpb $0,0x40(%rdi)
        0x74, 0x0e,                    // 1004 je 1014
        0x48, 0x8b, 0x47, 0x20,        // 1006 mov 0x20(%rdi),%rax
        0x48, 0x83, 0xc7, 0x30,        // 100a add $0x30,%rdi
        0xe8, 0xed, 0x00, 0x00, 0x00,  // 100e call 1100
        0xc3,                          // 1013 ret
        0x48, 0x8b, 0x47, 0x18,        // 1014 mov 0x18(%rdi),%rax
        0xc3,                          // 1018 ret
    });
    const InterpretedCode interpreted{
        [&](RemoteAddress address) -> const Instruction* {
            const auto position = function.code.find(address);
            return position == FunctionCode::nowhere ? nullptr : &function.code.at(position);
        },
        [](RemoteAddress, std::span<std::byte>) { return std::size_t{0}; }};
    const auto words = [&](std::uint64_t index) {
        const IndexField field{0x40, 1};
        return words_read_on_resumption(
            function.code, interpret_dispatch(interpreted, RemoteAddress(base), field, index, 48));
    };
    CHECK(words(1) == std::vector<std::uint32_t>{0x20, 0x30, 0x38});
    CHECK(words(0) == std::vector<std::uint32_t>{0x18});
}
