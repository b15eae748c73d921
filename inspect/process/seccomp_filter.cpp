#include "process/seccomp_filter.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <optional>

#include "process/procfs.h"
#include "process/tracee.h"

namespace asyncdump {
namespace {

/// The machine of classic BPF with what seccomp permits of it (seccomp_check_filter() in kernel/seccomp.c):
/// loads of aligned words of the call's data, sixteen words of memory, arithmetic, jumps forward.
class Machine {
  public:
    Machine(std::span<const sock_filter> filter, const seccomp_data& call) : filter_(filter) {
        static_assert(sizeof call == sizeof data_);
        std::memcpy(data_.data(), &call, sizeof call);
    }

    /// Jumps only go forward: it ends. Empty for what no kernel would have accepted.
    std::optional<std::uint32_t> run() {
        while (next_ < filter_.size()) {
            const sock_filter& instruction = filter_[next_++];
            if (instruction.code == (BPF_RET | BPF_K)) return instruction.k;
            if (instruction.code == (BPF_RET | BPF_A)) return a_;
            if (!step(instruction)) return std::nullopt;
        }
        return std::nullopt;
    }

  private:
    bool step(const sock_filter& instruction) {
        const std::uint32_t k = instruction.k;
        switch (BPF_CLASS(instruction.code)) {
            case BPF_LD:
                return load(instruction, a_);
            case BPF_LDX:
                // The index register cannot be loaded from the call's data.
                return instruction.code != (BPF_LDX | BPF_W | BPF_ABS) && load(instruction, x_);
            case BPF_ST:
                return instruction.code == BPF_ST && store(k, a_);
            case BPF_STX:
                return instruction.code == BPF_STX && store(k, x_);
            case BPF_ALU:
                return calculate(instruction);
            case BPF_JMP:
                return jump(instruction);
            case BPF_MISC:
                if (instruction.code == (BPF_MISC | BPF_TAX)) return x_ = a_, true;
                if (instruction.code == (BPF_MISC | BPF_TXA)) return a_ = x_, true;
                return false;
            default:
                return false;
        }
    }

    bool load(const sock_filter& instruction, std::uint32_t& to) const {
        const std::uint32_t k = instruction.k;
        switch (BPF_SIZE(instruction.code) | BPF_MODE(instruction.code)) {
            case BPF_W | BPF_ABS:
                if (k % sizeof(std::uint32_t) != 0 || k >= sizeof data_) return false;
                to = data_[k / sizeof(std::uint32_t)];
                return true;
            case BPF_W | BPF_LEN:
                to = sizeof data_;
                return true;
            case BPF_IMM:
                to = k;
                return true;
            case BPF_MEM:
                if (k >= memory_.size()) return false;
                to = memory_[k];
                return true;
            default:
                return false;
        }
    }

    bool store(std::uint32_t place, std::uint32_t value) {
        if (place >= memory_.size()) return false;
        memory_[place] = value;
        return true;
    }

    bool calculate(const sock_filter& instruction) {
        const std::uint32_t operand = BPF_SRC(instruction.code) == BPF_X ? x_ : instruction.k;
        switch (BPF_OP(instruction.code)) {
            case BPF_ADD:
                return a_ += operand, true;
            case BPF_SUB:
                return a_ -= operand, true;
            case BPF_MUL:
                return a_ *= operand, true;
            case BPF_DIV:
                // By a register that is zero: the kernel ends the program with 0, which kills.
                if (operand == 0) return false;
                return a_ /= operand, true;
            case BPF_AND:
                return a_ &= operand, true;
            case BPF_OR:
                return a_ |= operand, true;
            case BPF_XOR:
                return a_ ^= operand, true;
            case BPF_LSH:
                return a_ <<= operand & 31, true;  // the kernel masks a register's value so
            case BPF_RSH:
                return a_ >>= operand & 31, true;
            case BPF_NEG:
                return a_ = 0 - a_, true;
            default:
                return false;
        }
    }

    bool jump(const sock_filter& instruction) {
        const std::uint32_t operand = BPF_SRC(instruction.code) == BPF_X ? x_ : instruction.k;
        bool is_true = false;
        switch (BPF_OP(instruction.code)) {
            case BPF_JA:
                next_ += instruction.k;
                return true;
            case BPF_JEQ:
                is_true = a_ == operand;
                break;
            case BPF_JGT:
                is_true = a_ > operand;
                break;
            case BPF_JGE:
                is_true = a_ >= operand;
                break;
            case BPF_JSET:
                is_true = (a_ & operand) != 0;
                break;
            default:
                return false;
        }
        next_ += is_true ? instruction.jt : instruction.jf;
        return true;
    }

    std::span<const sock_filter> filter_;
    std::array<std::uint32_t, sizeof(seccomp_data) / sizeof(std::uint32_t)> data_{};
    std::array<std::uint32_t, BPF_MEMWORDS> memory_{};
    std::uint32_t a_ = 0, x_ = 0;
    std::size_t next_ = 0;
};

bool is_known(std::uint32_t action) {
    switch (action) {
        case SECCOMP_RET_KILL_PROCESS:
        case SECCOMP_RET_KILL_THREAD:
        case SECCOMP_RET_TRAP:
        case SECCOMP_RET_ERRNO:
        case SECCOMP_RET_USER_NOTIF:
        case SECCOMP_RET_TRACE:
        case SECCOMP_RET_LOG:
        case SECCOMP_RET_ALLOW:
            return true;
        default:
            return false;
    }
}

}  // namespace

SeccompMode seccomp_mode(std::string_view status) {
    switch (procfs::parse_number(procfs::status_field(status, "Seccomp")).value_or(0)) {
        case 0:
            return SeccompMode::none;
        case 1:
            return SeccompMode::strict;
        default:
            return SeccompMode::filter;
    }
}

std::map<pid_t, SeccompMode> seccomp_modes(int tasks) {
    std::map<pid_t, SeccompMode> modes;
    for (const pid_t tid : procfs::list_threads(tasks)) {
        const auto status = procfs::read_file(tasks, fmt::format("{}/status", tid), 65536);
        if (!status) continue;
        const auto state = procfs::status_field(*status, "State");
        const bool has_ended = state.find_first_of("ZXx") == 0;
        const SeccompMode mode = seccomp_mode(*status);
        if (!has_ended && mode != SeccompMode::none) modes.emplace(tid, mode);
    }
    return modes;
}

std::uint32_t run_seccomp_filter(std::span<const sock_filter> filter, const seccomp_data& call) {
    return Machine(filter, call).run().value_or(SECCOMP_RET_KILL_PROCESS);
}

bool is_stricter(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a) < static_cast<std::int32_t>(b);
}

std::uint32_t strictest_action(std::span<const SeccompFilter> filters, const seccomp_data& call) {
    std::uint32_t strictest = SECCOMP_RET_ALLOW;
    for (const SeccompFilter& filter : filters) {
        const std::uint32_t action = run_seccomp_filter(filter, call) & SECCOMP_RET_ACTION_FULL;
        if (is_stricter(action, strictest)) strictest = action;
    }
    return is_known(strictest) ? strictest : SECCOMP_RET_KILL_PROCESS;
}

Result<std::vector<SeccompFilter>> seccomp_filters_of(pid_t tid) {
    constexpr int get_filter = 0x420c;  // PTRACE_SECCOMP_GET_FILTER, not in every <sys/ptrace.h>
    constexpr std::size_t most_filters = 1024;
    const auto request = [&](std::size_t number, sock_filter* to) {
        return trace(get_filter, tid, number, reinterpret_cast<std::uintptr_t>(to));
    };
    std::vector<SeccompFilter> filters;
    while (filters.size() < most_filters) {
        const long length = request(filters.size(), nullptr);
        if (length < 0 && errno == ENOENT && !filters.empty()) return filters;
        if (length < 0) return failure(ErrorCode::not_permitted, std::strerror(errno), errno);
        SeccompFilter filter(static_cast<std::size_t>(length));
        if (request(filters.size(), filter.data()) != length)
            return failure(ErrorCode::not_permitted, std::strerror(errno), errno);
        filters.push_back(std::move(filter));
    }
    return failure(ErrorCode::unsupported_target, "there are too many", 0);
}

}  // namespace asyncdump
