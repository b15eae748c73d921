#include "runtimes/cpp20/running.h"

#include <algorithm>

namespace asyncdump::cpp20 {
namespace {

/// Locals of a resume function beyond this many bytes of stack are not searched.
constexpr std::uint64_t largest_stack_frame = 64 * 1024;

class Candidates {
  public:
    Candidates(std::span<const Frame> frames, std::uint32_t function)
        : frames_(frames), function_(function) {}

    void consider(std::uint64_t word) {
        const auto found = std::ranges::lower_bound(frames_, RemoteAddress(word), {}, &Frame::address);
        if (found == frames_.end() || found->address.value() != word || found->function != function_) return;
        const auto index = static_cast<std::uint32_t>(found - frames_.begin());
        if (std::ranges::find(found_, index) == found_.end()) found_.push_back(index);
    }
    bool empty() const { return found_.empty(); }
    std::optional<std::uint32_t> only() const {
        return found_.size() == 1 ? std::optional(found_.front()) : std::nullopt;
    }

  private:
    std::span<const Frame> frames_;
    std::uint32_t function_;
    std::vector<std::uint32_t> found_;
};

std::optional<std::uint32_t> coroutine_of(const Memory& memory, std::span<const Frame> frames,
                                          std::uint32_t function, const UnwoundFrame& frame) {
    Candidates in_registers(frames, function);
    for (unsigned number = 0; number < Registers::rip; ++number) {
        if (frame.registers.is_known(number)) in_registers.consider(frame.registers.get(number));
    }
    if (const auto only = in_registers.only()) return only;

    Candidates on_stack(frames, function);
    const RemoteAddress begin = frame.registers.stack_pointer();
    if (frame.canonical_frame_address > begin) {
        std::vector<std::uint64_t> words(
            std::min(frame.canonical_frame_address - begin, largest_stack_frame) / 8);
        words.resize(memory.read(begin, std::as_writable_bytes(std::span(words))) / 8);
        for (const std::uint64_t word : words) on_stack.consider(word);
    }
    return on_stack.only();
}

}  // namespace

std::vector<RunningFrame> find_running(const Memory& memory, const CoroutineCatalog& catalog,
                                       std::span<const Frame> frames, std::span<const ThreadStack> stacks) {
    std::vector<RunningFrame> running;
    for (const ThreadStack& thread : stacks) {
        for (std::uint32_t i = 0; i < thread.stack->frames.size(); ++i) {
            const UnwoundFrame& frame = thread.stack->frames[i];
            const auto function = catalog.function_at(frame.is_return_address ? frame.pc - 1 : frame.pc);
            if (!function) continue;
            if (const auto coroutine = coroutine_of(memory, frames, *function, frame)) {
                running.push_back({thread.tid, i, *coroutine});
            }
        }
    }
    return running;
}

}  // namespace asyncdump::cpp20
