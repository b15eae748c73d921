#include "runtimes/cpp20/frame_size.h"

#include <algorithm>
#include <vector>

#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t most_code = 64 * 1024;
constexpr std::int64_t smallest_frame = 16;
constexpr std::int64_t largest_frame = 4 * 1024 * 1024;

}  // namespace

std::optional<std::uint32_t> frame_size_from_code(const CoroutineCode& code) {
    std::vector<std::byte> bytes(std::min(code.destroy.size(), most_code));
    bytes.resize(code.module->read_file_bytes(code.destroy.begin, bytes));
    std::optional<std::uint32_t> size;      // of the last call that takes one
    std::optional<std::uint32_t> argument;  // in rsi since the last transfer of control
    for (std::size_t offset = 0; offset < bytes.size();) {
        const Instruction instruction = decode(std::span(bytes).subspan(offset), code.destroy.begin + offset);
        const auto& [destination, source] = instruction.operands;
        if (instruction.operation == Operation::mov && destination.is_register() &&
            destination.reg == Register::rsi) {
            argument.reset();
            if (source.is_immediate() && source.value >= smallest_frame && source.value <= largest_frame) {
                argument = static_cast<std::uint32_t>(source.value);
            }
        } else if (instruction.operation == Operation::call || instruction.operation == Operation::jmp) {
            if (argument) size = argument;
            argument.reset();
        }
        offset += instruction.length;
    }
    return size;
}

}  // namespace asyncdump::cpp20
