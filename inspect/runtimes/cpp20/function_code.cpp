#include "runtimes/cpp20/function_code.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_code_bytes = 4 << 20;
constexpr std::size_t max_instructions = 1'000'000;
constexpr std::size_t max_jump_table_entries = 4096;
constexpr FunctionCode::Position table_search_distance = 24;

template <class T>
std::optional<T> read_number(const Module& module, RemoteAddress address) {
    T value{};
    if (module.read_file_bytes(address, std::as_writable_bytes(std::span(&value, 1))) != sizeof value) {
        return std::nullopt;
    }
    return value;
}

}  // namespace

FunctionCode::FunctionCode(const Module& module, const ImportedFunctions& imported,
                           std::span<const AddressRange> ranges) {
    std::vector<AddressRange> sorted(ranges.begin(), ranges.end());
    std::ranges::sort(sorted);
    std::vector<std::byte> bytes;
    RemoteAddress end_of_previous;
    for (const AddressRange& range : sorted) {
        if (range.begin < end_of_previous || range.end <= range.begin) continue;
        end_of_previous = range.end;
        bytes.resize(std::min<std::uint64_t>(range.size(), max_code_bytes));
        bytes.resize(module.read_file_bytes(range.begin, bytes));
        const auto decoded = decode_all(bytes, range.begin, max_instructions - instructions_.size());
        instructions_.insert(instructions_.end(), decoded.begin(), decoded.end());
    }
    connect(module, imported);
}

FunctionCode::Position FunctionCode::find(RemoteAddress address) const {
    const auto found = std::ranges::lower_bound(instructions_, address, {}, &Instruction::address);
    if (found == instructions_.end() || found->address != address) return nowhere;
    return static_cast<Position>(found - instructions_.begin());
}

std::span<const FunctionCode::Position> FunctionCode::predecessors(Position position) const {
    return std::span(predecessor_sources_)
        .subspan(predecessor_begin_[position],
                 predecessor_begin_[position + 1] - predecessor_begin_[position]);
}

std::span<const FunctionCode::Position> FunctionCode::successors(Position position) const {
    return std::span(successor_targets_)
        .subspan(successor_begin_[position], successor_begin_[position + 1] - successor_begin_[position]);
}

void FunctionCode::connect(const Module& module, const ImportedFunctions& imported) {
    std::vector<Edge> edges;
    edges.reserve(instructions_.size() + instructions_.size() / 4);
    const auto count = static_cast<Position>(instructions_.size());
    bool ended = true;  // the way ended before this instruction: padding after it leads nowhere
    for (Position i = 0; i < count; ++i) {
        const Instruction& instruction = instructions_[i];
        const bool is_padding = ended && instruction.operation == Operation::nop;
        const bool is_last_call =
            instruction.operation == Operation::call && imported.never_returns(instruction);
        ended = is_padding || is_last_call || instruction.ends_block_without_fall_through();
        if (is_padding || is_last_call) continue;
        if (!instruction.ends_block_without_fall_through() && i + 1 < count &&
            instructions_[i + 1].address == instruction.next()) {
            edges.push_back({i, i + 1});
        }
        if (instruction.operation == Operation::jmp || instruction.operation == Operation::jcc) {
            if (const auto target = instruction.direct_target()) {
                const Position to = find(*target);
                if (to != nowhere && to != i + 1) edges.push_back({i, to});
                if (to == i + 1 && instruction.operation == Operation::jmp) edges.push_back({i, to});
            } else if (instruction.operation == Operation::jmp) {
                add_jump_table(module, i, edges);
            }
        }
    }

    successor_begin_.assign(instructions_.size() + 1, 0);
    predecessor_begin_.assign(instructions_.size() + 1, 0);
    for (const Edge& edge : edges) {
        ++successor_begin_[edge.from + 1];
        ++predecessor_begin_[edge.to + 1];
    }
    for (std::size_t i = 1; i < successor_begin_.size(); ++i) {
        successor_begin_[i] += successor_begin_[i - 1];
        predecessor_begin_[i] += predecessor_begin_[i - 1];
    }
    successor_targets_.resize(edges.size());
    predecessor_sources_.resize(edges.size());
    auto successor_at = successor_begin_, predecessor_at = predecessor_begin_;
    for (const Edge& edge : edges) {
        successor_targets_[successor_at[edge.from]++] = edge.to;
        predecessor_sources_[predecessor_at[edge.to]++] = edge.from;
    }
}

// `jmp *table(,index,8)` with absolute entries, or `movslq (table,index,4), r; add table, r; jmp *r` with
// entries relative to the table. The table's length is not known: it is read as long as entries point to
// instructions of this function. Neighbouring tables can add edges that do not exist; they only make joins of
// what is none, and joins end the search for exact evidence.
void FunctionCode::add_jump_table(const Module& module, Position jump, std::vector<Edge>& edges) const {
    const Instruction& instruction = instructions_[jump];
    const Operand& operand = instruction.operands[0];
    std::vector<Position> targets;
    const auto add_target = [&](std::uint64_t address) {
        const Position to = find(RemoteAddress(address));
        if (to == nowhere) return false;
        targets.push_back(to);
        return true;
    };
    if (operand.is_memory()) {
        if (operand.index == Register::none || operand.scale != 8) return;
        std::uint64_t table = static_cast<std::uint64_t>(operand.value);
        if (operand.reg != Register::none) {
            bool found = false;
            for (Position i = jump; i > 0 && jump - i < table_search_distance && !found; --i) {
                const Instruction& before = instructions_[i - 1];
                if (before.operation == Operation::lea && before.operands[0].reg == operand.reg &&
                    before.operands[1].rip_relative) {
                    table += static_cast<std::uint64_t>(before.operands[1].value);
                    found = true;
                }
            }
            if (!found) return;
        }
        for (std::size_t i = 0; i < max_jump_table_entries; ++i) {
            const auto entry = read_number<std::uint64_t>(module, RemoteAddress(table + i * 8 + 0));
            if (!entry || !add_target(*entry + module.bias())) break;
        }
    } else if (operand.is_register()) {
        std::vector<std::uint64_t> tables;
        for (Position i = jump; i > 0 && jump - i < table_search_distance; --i) {
            const Instruction& before = instructions_[i - 1];
            if (before.operation == Operation::lea && before.operands[1].rip_relative) {
                tables.push_back(static_cast<std::uint64_t>(before.operands[1].value));
            }
        }
        for (const std::uint64_t table : tables) {
            for (std::size_t i = 0; i < max_jump_table_entries; ++i) {
                const auto entry = read_number<std::int32_t>(module, RemoteAddress(table + i * 4));
                if (!entry ||
                    !add_target(table + static_cast<std::uint64_t>(static_cast<std::int64_t>(*entry))))
                    break;
            }
            if (!targets.empty()) break;
        }
    }
    std::ranges::sort(targets);
    targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
    for (const Position to : targets) edges.push_back({jump, to});
}

}  // namespace asyncdump::cpp20
