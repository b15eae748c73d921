#include "modules/frame_pointer_use.h"

#include <catch2/catch.hpp>
#include <set>

#include "process/live_memory.h"
#include "process/stopped_process.h"
#include "sample_process.h"

using namespace asyncdump;
using namespace asyncdump::test;

namespace {

std::string symbol_of(const ModuleSet& modules, RemoteAddress pc) {
    const Module* module = modules.find(pc);
    const Symbol* symbol = module == nullptr ? nullptr : module->symbol_at(pc);
    return symbol == nullptr ? "" : std::string(symbol->name);
}

}  // namespace

TEST_CASE("the use of the frame pointer is that of real stacks") {
    std::set<FramePointerUse::At> seen;
    for (const Sample& sample : samples_of("calls")) {
        INFO(sample.path);
        const SampleProcess process(sample.path);
        const auto modules = ModuleSet::of_process(process.pid(), *MemoryMap::read(process.pid()), {});
        const auto memory = LiveMemory::open(process.pid());
        const auto stopped = StoppedProcess::stop(process.pid(), {});
        REQUIRE(stopped);
        Unwinder unwinder(modules, *memory);
        const auto stack = unwinder.unwind(stopped->threads().at(0).registers);
        REQUIRE(stack.frames.size() > 5);
        FramePointerUse use(modules);
        for (std::size_t i = 0; i + 1 < stack.frames.size(); ++i) {
            const UnwoundFrame& frame = stack.frames[i];
            if (!frame.is_return_address) continue;
            const auto pointer = frame.registers.get(Registers::rbp);
            const auto at = use.before(frame.pc);
            INFO("frame " << i);
            if (at == FramePointerUse::At::kept) CHECK(pointer + 16 == frame.canonical_frame_address.value());
            if (at == FramePointerUse::At::left_alone)
                CHECK(pointer == stack.frames[i + 1].registers.get(Registers::rbp));
            if (at == FramePointerUse::At::lost &&
                symbol_of(modules, frame.pc) != "has_no_unwinding_information")
                CHECK(pointer + 16 != frame.canonical_frame_address.value());
            seen.insert(at);
        }
    }
    CHECK(seen.contains(FramePointerUse::At::kept));
    CHECK(seen.contains(FramePointerUse::At::left_alone));
}

TEST_CASE("where no code is, nothing is known of the frame pointer") {
    const auto modules = open_file(samples_of("calls").at(0).path, 0x5555'0000'0000);
    FramePointerUse use(modules);
    CHECK(use.before(RemoteAddress(0)) == FramePointerUse::At::lost);
    CHECK(use.before(RemoteAddress(0x1234)) == FramePointerUse::At::lost);
    const auto blind = modules.modules()[0]->find_symbol("has_no_unwinding_information")->address;
    CHECK(use.before(blind + 4) == FramePointerUse::At::lost);
}
