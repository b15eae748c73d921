#include "injector/borrowed_thread.h"

#include <cpuid.h>
#include <elf.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace asyncdump {
namespace {

/// AVX-512 and AMX need 11 KiB; the kernel says how much it wrote.
constexpr std::size_t largest_vector_state = 64 * 1024;
constexpr std::uint64_t red_zone = 128;

// Values of rax by which a system call asks the kernel to be called again (include/linux/errno.h).
constexpr std::int64_t first_restart = -514;  // also what the stop makes of an EINTR that only we caused
constexpr std::int64_t last_restart = -512;

constexpr std::array<unsigned char, 2> system_call_instruction{0x0f, 0x05};

long trace(int request, pid_t tid, std::uintptr_t address, void* data) {
    return ::ptrace(static_cast<__ptrace_request>(request), tid, reinterpret_cast<void*>(address), data);
}

tl::unexpected<Error> failed(const char* what) {
    return failure(ErrorCode::system, fmt::format("{}: {}", what, std::strerror(errno)), errno);
}

/// The kernel's struct sigcontext_64 and the beginning of its struct ucontext.
struct SignalContext {
    std::uint64_t flags, link, stack_pointer, stack_flags, stack_size;
    std::uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
    std::uint16_t cs, gs, fs, ss;
    std::uint64_t error, trap, old_mask, cr2, vector_state, reserved[8];
    std::uint64_t mask;
};
static_assert(offsetof(SignalContext, r8) == 40 && offsetof(SignalContext, cs) == 184 &&
              offsetof(SignalContext, mask) == 296);

/// What the kernel keeps at byte 464 of the vector state in a signal frame: struct _fpx_sw_bytes.
struct VectorStateDescription {
    std::uint32_t magic, extended_size;
    std::uint64_t features;
    std::uint32_t size;
};
constexpr std::size_t vector_description = 464;
constexpr std::uint32_t vector_magic = 0x46505853, vector_magic_at_end = 0x46505845;

/// The size of the standard form of these parts of the vector state, by the processor's own word.
std::uint32_t vector_state_size(std::uint64_t features) {
    std::uint32_t size = 576;  // x87, SSE and the header
    for (unsigned part = 2; part < 63; ++part) {
        unsigned a = 0, b = 0, c = 0, d = 0;
        if ((features >> part & 1) == 0 || __get_cpuid_count(0xd, part, &a, &b, &c, &d) == 0) continue;
        size = std::max(size, a + b);
    }
    return size;
}

}  // namespace

struct BorrowedThread::State {
    user_regs_struct registers{};
    std::vector<std::byte> vectors;
    std::uint64_t mask = 0;

    /// Stopped again before it ran on from the stop before: the kernel has made it go on by restart_syscall,
    /// which it has not executed yet.
    bool is_before_restart_call = false;

    bool restarts_by_block() const {
        return is_before_restart_call || (static_cast<std::int64_t>(registers.orig_rax) >= 0 &&
                                          static_cast<std::int64_t>(registers.rax) == restart_by_block);
    }

    /// The registers with which the thread goes on in its program: a system call that the stop broke off is
    /// called again, as the kernel would do it. One with a time limit as well, which then waits its whole
    /// time once more; we spare it that unless we are killed (stop_behind_return).
    user_regs_struct to_go_on() const {
        user_regs_struct result = registers;
        const auto outcome = static_cast<std::int64_t>(registers.rax);
        result.orig_rax = static_cast<unsigned long long>(-1);
        if (is_before_restart_call) {
            result.rax = static_cast<unsigned long long>(-EINTR);
            result.rip += system_call_instruction.size();
            return result;
        }
        if (static_cast<std::int64_t>(registers.orig_rax) < 0) return result;
        const bool is_repeatable = outcome == restart_by_block && registers.orig_rax != SYS_restart_syscall;
        if ((outcome >= first_restart && outcome <= last_restart) || is_repeatable) {
            result.rax = registers.orig_rax;
            result.rip -= system_call_instruction.size();
        } else if (outcome == restart_by_block) {
            // Broken off for the second time: which call it was stands nowhere any more.
            result.rax = static_cast<unsigned long long>(-EINTR);
        }
        return result;
    }
};

Result<BorrowedThread::State> BorrowedThread::save() const {
    State state;
    iovec registers{&state.registers, sizeof state.registers};
    if (trace(PTRACE_GETREGSET, tid_, NT_PRSTATUS, &registers) != 0)
        return failed("cannot read a thread's registers");
    state.vectors.resize(largest_vector_state);
    iovec vectors{state.vectors.data(), state.vectors.size()};
    if (trace(PTRACE_GETREGSET, tid_, NT_X86_XSTATE, &vectors) != 0)
        return failed("cannot read a thread's vector registers");
    state.vectors.resize(vectors.iov_len);
    if (trace(PTRACE_GETSIGMASK, tid_, sizeof state.mask, &state.mask) != 0)
        return failed("cannot read a thread's signal mask");
    std::array<unsigned char, 2> code{};
    const auto at = static_cast<off_t>(state.registers.rip);
    state.is_before_restart_call =
        state.registers.rax == SYS_restart_syscall &&
        ::pread(memory_.get(), code.data(), code.size(), at) == static_cast<ssize_t>(code.size()) &&
        code == system_call_instruction;
    return state;
}

Result<RemoteAddress> BorrowedThread::write_frame(const State& state, std::span<const std::byte> data,
                                                  RemoteAddress& data_address) const {
    std::uint64_t features = 0;
    if (state.vectors.size() < vector_description + sizeof features)
        return failure(ErrorCode::system, "the kernel does not tell a thread's vector registers");
    std::memcpy(&features, state.vectors.data() + vector_description, sizeof features);
    constexpr std::uint64_t amx = 3ULL << 17;  // only threads that asked for it have room for it in a frame
    features &= ~amx;
    const std::uint32_t size =
        std::min(vector_state_size(features), static_cast<std::uint32_t>(state.vectors.size()));
    const VectorStateDescription description{vector_magic, size + 4, features, size};

    std::uint64_t at = state.registers.rsp - red_zone - data.size();
    const std::uint64_t top = state.registers.rsp - red_zone;
    at &= ~63ULL;
    data_address = RemoteAddress(at);
    const std::uint64_t vectors_at = (at - size - sizeof vector_magic_at_end) & ~63ULL;
    // The kernel's frame has siginfo behind the context; nobody reads it.
    const std::uint64_t context_at = (vectors_at - sizeof(SignalContext) - 128) & ~15ULL;
    const std::uint64_t frame = context_at - 8;

    const user_regs_struct go_on = state.to_go_on();
    SignalContext context{};
    context.flags = 7;                 // vector state, ss saved, ss to be restored strictly
    context.stack_flags = 0x7fffffff;  // invalid: the alternate signal stack stays as it is
    context.r8 = go_on.r8, context.r9 = go_on.r9, context.r10 = go_on.r10, context.r11 = go_on.r11;
    context.r12 = go_on.r12, context.r13 = go_on.r13, context.r14 = go_on.r14, context.r15 = go_on.r15;
    context.rdi = go_on.rdi, context.rsi = go_on.rsi, context.rbp = go_on.rbp, context.rbx = go_on.rbx;
    context.rdx = go_on.rdx, context.rax = go_on.rax, context.rcx = go_on.rcx, context.rsp = go_on.rsp;
    context.rip = go_on.rip, context.eflags = go_on.eflags;
    context.cs = static_cast<std::uint16_t>(go_on.cs), context.ss = static_cast<std::uint16_t>(go_on.ss);
    context.vector_state = vectors_at;
    context.mask = state.mask;

    std::vector<std::byte> bytes(top - frame);
    const auto put = [&](std::uint64_t address, const void* from, std::size_t count) {
        std::memcpy(bytes.data() + (address - frame), from, count);
    };
    const std::uint64_t restorer = restorer_.value();
    put(frame, &restorer, sizeof restorer);
    put(context_at, &context, sizeof context);
    put(vectors_at, state.vectors.data(), size);
    put(vectors_at + vector_description, &description, sizeof description);
    put(vectors_at + size, &vector_magic_at_end, sizeof vector_magic_at_end);
    if (!data.empty()) put(at, data.data(), data.size());
    if (::pwrite(memory_.get(), bytes.data(), bytes.size(), static_cast<off_t>(frame)) !=
        static_cast<ssize_t>(bytes.size()))
        return failed("cannot write to a thread's stack");
    return RemoteAddress(frame);
}

Result<void> BorrowedThread::call(RemoteAddress function, std::span<const std::byte> data,
                                  std::uint64_t argument, std::chrono::milliseconds timeout) {
    const auto state = save();
    if (!state) return tl::unexpected<Error>(state.error());
    RemoteAddress data_address;
    const auto frame = write_frame(*state, data, data_address);
    if (!frame) return tl::unexpected<Error>(frame.error());
    if (trace(PTRACE_SETOPTIONS, tid_, 0, reinterpret_cast<void*>(PTRACE_O_TRACESYSGOOD)) != 0)
        return failed("cannot trace a thread's system calls");

    user_regs_struct registers = state->registers;
    registers.rip = function.value();
    registers.rsp = frame->value();
    registers.rdi = data_address.value();
    registers.rsi = argument;
    registers.rax = 0;
    registers.orig_rax = static_cast<unsigned long long>(-1);  // no restart of its system call now
    constexpr unsigned long long direction_and_trap = 0x500;
    registers.eflags &= ~direction_and_trap;
    iovec set{&registers, sizeof registers};
    if (trace(PTRACE_SETREGSET, tid_, NT_PRSTATUS, &set) != 0)
        return failed("cannot set a thread's registers");
    // From here on it calls the function and comes back, whatever becomes of us. No handler shall run
    // meanwhile.
    std::uint64_t mask = ~0ULL;
    for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) mask &= ~(1ULL << (signal - 1));
    trace(PTRACE_SETSIGMASK, tid_, sizeof mask, &mask);
    return wait_for_return(*state, *frame, timeout);
}

Result<void> BorrowedThread::wait_for_return(const State& state, RemoteAddress frame,
                                             std::chrono::milliseconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::uintptr_t signal = 0;
    bool is_in_call = false;
    while (true) {
        if (trace(PTRACE_SYSCALL, tid_, 0, reinterpret_cast<void*>(signal)) != 0)
            return failure(ErrorCode::process_gone, "the process has ended meanwhile", errno);
        signal = 0;
        int status = 0;
        pid_t waited = 0;
        while ((waited = ::waitpid(tid_, &status, __WALL | WNOHANG)) == 0) {
            if (std::chrono::steady_clock::now() > deadline) {
                trace(PTRACE_INTERRUPT, tid_, 0, nullptr);
                return failure(ErrorCode::timed_out, "the target did not finish loading the agent in time");
            }
            constexpr timespec moment{0, 20'000};
            ::nanosleep(&moment, nullptr);
        }
        if (waited < 0 || WIFEXITED(status) || WIFSIGNALED(status))
            return failure(ErrorCode::process_gone, "the process has ended meanwhile");
        const int stop_signal = WSTOPSIG(status);
        if (stop_signal == (SIGTRAP | 0x80)) {
            user_regs_struct registers{};
            iovec get{&registers, sizeof registers};
            if (trace(PTRACE_GETREGSET, tid_, NT_PRSTATUS, &get) != 0) continue;
            const bool returns = registers.orig_rax == SYS_rt_sigreturn && registers.rsp == frame.value() + 8;
            if (returns) return stop_behind_return(state);
            is_in_call = !is_in_call;
            const auto outcome = static_cast<std::int64_t>(registers.rax);
            constexpr std::int64_t largest_error = 4095;
            if (!is_in_call && outcome < 0 && outcome >= -largest_error)
                failed_call_ = {static_cast<std::int64_t>(registers.orig_rax), static_cast<int>(-outcome)};
        } else if (status >> 16 == 0) {
            signal = static_cast<std::uintptr_t>(stop_signal);
        }
    }
}

/// The thread is about to execute rt_sigreturn.
Result<void> BorrowedThread::stop_behind_return(const State& state) {
    if (state.restarts_by_block()) {
        // A call with a time limit (nanosleep, poll): the kernel remembers the rest of it, and rt_sigreturn
        // would make it forget. Instead of rt_sigreturn it executes restart_syscall, with everything else
        // restored.
        iovec vectors{const_cast<std::byte*>(state.vectors.data()), state.vectors.size()};
        std::uint64_t mask = state.mask;
        user_regs_struct registers = state.registers;
        if (state.is_before_restart_call) registers.rip += system_call_instruction.size();
        registers.orig_rax = SYS_restart_syscall;
        registers.rax = static_cast<unsigned long long>(-ENOSYS);
        iovec set{&registers, sizeof registers};
        trace(PTRACE_SETREGSET, tid_, NT_X86_XSTATE, &vectors);
        trace(PTRACE_SETREGSET, tid_, NT_PRSTATUS, &set);
        trace(PTRACE_SETSIGMASK, tid_, sizeof mask, &mask);
    }
    trace(PTRACE_INTERRUPT, tid_, 0, nullptr);
    while (true) {
        if (trace(PTRACE_CONT, tid_, 0, nullptr) != 0)
            return failure(ErrorCode::process_gone, "the process has ended meanwhile", errno);
        int status = 0;
        if (::waitpid(tid_, &status, __WALL) < 0 || !WIFSTOPPED(status))
            return failure(ErrorCode::process_gone, "the process has ended meanwhile");
        if (status >> 16 == PTRACE_EVENT_STOP) return {};
        // A signal that came in between: it goes to the thread, whose state is its own again.
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            trace(PTRACE_INTERRUPT, tid_, 0, nullptr);
            if (trace(PTRACE_CONT, tid_, 0,
                      reinterpret_cast<void*>(static_cast<std::uintptr_t>(WSTOPSIG(status)))) != 0)
                return failure(ErrorCode::process_gone, "the process has ended meanwhile", errno);
            if (::waitpid(tid_, &status, __WALL) < 0 || !WIFSTOPPED(status))
                return failure(ErrorCode::process_gone, "the process has ended meanwhile");
            if (status >> 16 == PTRACE_EVENT_STOP) return {};
        }
    }
}

void BorrowedThread::detach() {
    trace(PTRACE_DETACH, tid_, 0, nullptr);
}

}  // namespace asyncdump
