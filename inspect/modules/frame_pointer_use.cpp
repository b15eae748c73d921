#include "modules/frame_pointer_use.h"

#include <algorithm>
#include <cstring>

namespace asyncdump {
namespace {

// No addresses of any process: nothing is found there but what MarkedStack answers.
constexpr std::uint64_t marked_stack_pointer = 0x2000'0000'0000'0000;
constexpr std::uint64_t marked_frame_pointer = 0x4000'0000'0000'0000;
constexpr std::uint64_t marked_word = marked_frame_pointer + 0x1000;

}  // namespace

FramePointerUse::FramePointerUse(const ModuleSet& modules) : unwinder_(modules, memory_) {}

std::size_t FramePointerUse::MarkedStack::read(RemoteAddress address,
                                               std::span<std::byte> destination) const {
    if (address.value() < marked_stack_pointer) return 0;
    for (std::size_t i = 0; i < destination.size(); i += sizeof marked_word)
        std::memcpy(destination.data() + i, &marked_word,
                    std::min(sizeof marked_word, destination.size() - i));
    return destination.size();
}

FramePointerUse::At FramePointerUse::before(RemoteAddress return_address) {
    const auto [entry, is_new] = known_.try_emplace(return_address.value(), At::lost);
    if (is_new) entry->second = look(return_address - 1);
    return entry->second;
}

FramePointerUse::At FramePointerUse::look(RemoteAddress pc) {
    Registers registers;
    registers.set(Registers::rip, pc.value());
    registers.set(Registers::rsp, marked_stack_pointer);
    registers.set(Registers::rbp, marked_frame_pointer);
    const UnwoundStack stack = unwinder_.unwind(registers, 2);
    if (stack.frames.size() < 2) return At::lost;
    // Where the stack was aligned anew, the frame's address is saved beside the frame pointer: a marked word.
    if (stack.frames[0].canonical_frame_address.value() > marked_frame_pointer) return At::kept;
    return stack.frames[1].registers.get(Registers::rbp) == marked_frame_pointer ? At::left_alone : At::lost;
}

}  // namespace asyncdump
