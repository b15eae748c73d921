#include "modules/unwinder.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "modules/symbolizer.h"
#include "process/live_memory.h"
#include "process/stopped_process.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

struct Stopped {
    explicit Stopped(const SampleProcess& process)
        : set(ModuleSet::of_process(process.pid(), *MemoryMap::read(process.pid()), {})),
          memory(*LiveMemory::open(process.pid())) {
        auto result = StoppedProcess::stop(process.pid(), {});
        if (!result) FAIL(result.error().message);
        REQUIRE(result->threads().size() == 1);
        registers = result->threads()[0].registers;
        stopped = std::make_unique<StoppedProcess>(std::move(*result));
    }
    ModuleSet set;
    LiveMemory memory;
    Registers registers;
    std::unique_ptr<StoppedProcess> stopped;
};

/// Memory that ends at an address.
class EndingMemory final : public Memory {
  public:
    EndingMemory(const Memory& whole, RemoteAddress end) : whole_(whole), end_(end) {}
    std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
        if (address >= end_) return 0;
        return whole_.read(address,
                           destination.first(std::min<std::size_t>(destination.size(), end_ - address)));
    }

  private:
    const Memory& whole_;
    RemoteAddress end_;
};

class NoMemory final : public Memory {
  public:
    std::size_t read(RemoteAddress, std::span<std::byte>) const override { return 0; }
};

struct NamedFrame {
    std::string function;
    unsigned line;
    const UnwoundFrame* frame;
};

std::vector<NamedFrame> name(const UnwoundStack& stack, Symbolizer& symbolizer) {
    std::vector<NamedFrame> result;
    for (const UnwoundFrame& frame : stack.frames)
        for (const CodePosition& position : symbolizer.at(frame.pc, frame.is_return_address))
            result.push_back({position.function, position.line, &frame});
    return result;
}

/// The first frame of a function whose name contains `part`.
const NamedFrame* find(const std::vector<NamedFrame>& frames, const std::string& part) {
    const auto found = std::find_if(frames.begin(), frames.end(), [&](const NamedFrame& frame) {
        return frame.function.find(part) != std::string::npos;
    });
    return found == frames.end() ? nullptr : &*found;
}

void check_stack(const SampleProcess& process, const UnwoundStack& stack, Symbolizer& symbolizer) {
    const auto named = name(stack, symbolizer);
    std::string text;
    for (const auto& frame : named) text += frame.function + ":" + std::to_string(frame.line) + "\n";
    CAPTURE(text);
    CHECK(stack.truncated.empty());
    REQUIRE_FALSE(stack.frames.empty());
    CHECK_FALSE(stack.frames[0].is_return_address);
    CHECK(named.back().function == "_start");
    std::size_t at = 0;
    for (const auto& expected : process.frames()) {
        CAPTURE(expected.function, expected.line);
        // Whatever stands between (std::function's own functions) is not the point; the order is.
        const auto is_expected = [&](const NamedFrame& frame) {
            const bool is_clang_lambda =
                expected.function == "lambda" && frame.function.find("$_") != std::string::npos;
            const bool is_named = frame.function.find(expected.function) != std::string::npos;
            return (is_named || is_clang_lambda) && frame.line == expected.line;
        };
        while (at < named.size() && !is_expected(named[at])) ++at;
        REQUIRE(at < named.size());
    }
    const NamedFrame* holder = find(named, "holds_registers");
    REQUIRE(holder);
    const Registers& registers = holder->frame->registers;
    CHECK(registers.get(Registers::rbx) == 0x1111'2222'3333'4444);
    CHECK(registers.get(Registers::r12) == 0x5555'6666'7777'8888);
    CHECK(registers.get(Registers::r15) == 0x7777'8888'9999'0000);
    CHECK_FALSE(registers.is_known(Registers::rax));
    CHECK_FALSE(registers.is_known(Registers::rdi));
    CHECK(find(named, "has_no_unwinding_information"));
    for (std::size_t i = 0; i + 1 < stack.frames.size(); ++i)
        CHECK(stack.frames[i].canonical_frame_address == stack.frames[i + 1].registers.stack_pointer());
}

}  // namespace

TEST_CASE("the stack of a blocked thread is unwound to its start") {
    for (const Sample& sample : samples_of("calls")) {
        CAPTURE(sample.path);
        const SampleProcess process(sample.path);
        const Stopped target(process);
        Unwinder unwinder(target.set, target.memory);
        Symbolizer symbolizer(target.set, {});
        check_stack(process, unwinder.unwind(target.registers), symbolizer);
        // Again, with what libunwind remembers.
        const auto stack = unwinder.unwind(target.registers);
        check_stack(process, stack, symbolizer);
        for (std::size_t i = 1; i < stack.frames.size(); ++i) CHECK(stack.frames[i].is_return_address);
    }
}

TEST_CASE("a stack goes through a signal handler on another stack") {
    for (const Sample& sample : samples_of("calls")) {
        CAPTURE(sample.path);
        const SampleProcess process(sample.path, "signal");
        const Stopped target(process);
        Unwinder unwinder(target.set, target.memory);
        Symbolizer symbolizer(target.set, {});
        const auto stack = unwinder.unwind(target.registers);
        check_stack(process, stack, symbolizer);
        const auto named = name(stack, symbolizer);
        CHECK(find(named, "on_signal"));
        const auto trampoline =
            std::find_if(stack.frames.begin(), stack.frames.end(),
                         [](const UnwoundFrame& frame) { return frame.is_signal_trampoline; });
        REQUIRE(stack.frames.end() - trampoline > 1);
        const auto interrupted = trampoline + 1;
        CHECK_FALSE(trampoline->is_return_address);
        CHECK_FALSE(interrupted->is_return_address);
        CHECK(interrupted->registers.is_known(Registers::rax));
        // The innermost, the trampoline, and the frame that was interrupted.
        CHECK(std::count_if(stack.frames.begin(), stack.frames.end(),
                            [](const UnwoundFrame& frame) { return !frame.is_return_address; }) == 3);
    }
}

TEST_CASE("a stack that ends early says why") {
    const SampleProcess process(samples_of("calls").at(1).path);
    const Stopped target(process);
    Unwinder whole(target.set, target.memory);
    const auto complete = whole.unwind(target.registers);
    REQUIRE(complete.frames.size() > 6);

    SECTION("too many frames") {
        const auto stack = whole.unwind(target.registers, 3);
        CHECK(stack.frames.size() == 3);
        CHECK(stack.truncated == "more than 3 frames");
    }
    SECTION("unreadable stack") {
        const EndingMemory memory(target.memory, complete.frames[3].canonical_frame_address - 8);
        Unwinder unwinder(target.set, memory);
        const auto stack = unwinder.unwind(target.registers);
        CHECK(stack.frames.size() == 4);
        CHECK(stack.truncated.find("not readable") != std::string::npos);
    }
    SECTION("no memory at all") {
        const NoMemory memory;
        Unwinder unwinder(target.set, memory);
        const auto stack = unwinder.unwind(target.registers);
        CHECK(stack.frames.size() == 1);
        CHECK_FALSE(stack.truncated.empty());
    }
    SECTION("code that lies in no file") {
        Registers registers = target.registers;
        registers.set(Registers::rip, 0x1234);
        registers.set(Registers::rbp, 0);
        const auto stack = whole.unwind(registers);
        CHECK(stack.frames.size() == 1);
        CHECK(stack.truncated == "no unwinding information at 0x1234, which lies in no loaded file");
    }
}

TEST_CASE("hostile registers and stacks end in a bounded walk") {
    const SampleProcess process(samples_of("calls").at(0).path);
    const Stopped target(process);
    const Module* module = target.set.find(process.address_of("main"));
    const auto symbols = module->symbols();
    Unwinder unwinder(target.set, target.memory);
    std::uint64_t random = 1;
    for (int round = 0; round < 2000; ++round) {
        Registers registers = target.registers;
        const Symbol& symbol = symbols[static_cast<std::size_t>(round) % symbols.size()];
        random = random * 6364136223846793005U + 1442695040888963407U;
        registers.set(Registers::rip, symbol.address.value() + (random >> 40) % (symbol.size + 1));
        registers.set(Registers::rsp, target.registers.get(Registers::rsp) + (random >> 20) % 4096);
        registers.set(Registers::rbp,
                      round % 5 == 0 ? random : registers.get(Registers::rsp) + (random >> 30) % 2048);
        CHECK(unwinder.unwind(registers, 200).frames.size() <= 200);
    }
}

TEST_CASE("frame pointers that lead in a circle end the walk") {
    // Every word of this memory is the address of a function without unwinding information or of the frame
    // itself.
    const auto set = open_file(samples_of("calls").at(0).path, 0x5555'0000'0000);
    const auto function = set.modules()[0]->find_symbol("has_no_unwinding_information")->address;
    class Circle final : public Memory {
      public:
        explicit Circle(RemoteAddress code) : code_(code) {}
        std::size_t read(RemoteAddress address, std::span<std::byte> destination) const override {
            const std::uint64_t value = address.value() % 16 == 0 ? 0x10000 : code_.value() + 4;
            const auto count = std::min(destination.size(), sizeof value);
            std::memcpy(destination.data(), &value, count);
            return count;
        }

      private:
        RemoteAddress code_;
    } const memory(function);
    Unwinder unwinder(set, memory);
    Registers registers;
    registers.set(Registers::rip, function.value() + 4);
    registers.set(Registers::rsp, 0xfff0);
    registers.set(Registers::rbp, 0x10000);
    const auto stack = unwinder.unwind(registers);
    CHECK(stack.frames.size() <= 3);
    CHECK_FALSE(stack.truncated.empty());
}
