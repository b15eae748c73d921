#include "process/seccomp_filter.h"

#include <linux/audit.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstddef>

using namespace asyncdump;

namespace {

constexpr std::uint32_t number = offsetof(seccomp_data, nr);
constexpr std::uint32_t low_half_of(unsigned argument) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + argument * 8;
}

sock_filter load(std::uint32_t offset) {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}
sock_filter answer(std::uint32_t action) {
    return BPF_STMT(BPF_RET | BPF_K, action);
}

seccomp_data call_of(long system_call, std::initializer_list<std::uint64_t> arguments = {}) {
    seccomp_data data{static_cast<int>(system_call), AUDIT_ARCH_X86_64, 0, {}};
    std::size_t i = 0;
    for (const std::uint64_t argument : arguments) data.args[i++] = argument;
    return data;
}

/// `calculation` leaves a number below 4096 in the accumulator: getppid() fails with it.
SeccompFilter fails_with(const std::vector<sock_filter>& calculation) {
    SeccompFilter filter = {load(number), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
                            answer(SECCOMP_RET_ALLOW)};
    filter.insert(filter.end(), calculation.begin(), calculation.end());
    filter.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff));
    filter.push_back(BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO));
    filter.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
    return filter;
}

/// What the kernel makes of such a filter: the errno of getppid(a, b). -1: it does not accept the filter.
int kernels_answer(SeccompFilter filter, std::uint64_t a, std::uint64_t b) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
        ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        int result = -1;
        if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
            result = ::syscall(SYS_getppid, a, b) < 0 ? errno : 0;
        const bool told = ::write(ends[1], &result, sizeof result) == sizeof result;
        ::_exit(told ? 0 : 1);
    }
    ::close(ends[1]);
    int result = -2;
    const bool heard = ::read(ends[0], &result, sizeof result) == sizeof result;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    return heard ? result : -2;
}

}  // namespace

TEST_CASE("each instruction does what the kernel makes it do") {
    constexpr std::uint64_t first = 0x1234567812345678, second = 0x305;
    const sock_filter load_first = load(low_half_of(0)), load_second = load(low_half_of(1));
    const sock_filter second_to_x = BPF_STMT(BPF_MISC | BPF_TAX, 0);
    std::vector<std::vector<sock_filter>> calculations = {
        {load(number)},
        {load(low_half_of(0) + 4)},
        {load(offsetof(seccomp_data, arch))},
        {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0)},
        {BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0)},
        {BPF_STMT(BPF_LD | BPF_IMM, 77)},
        {BPF_STMT(BPF_LDX | BPF_IMM, 78), BPF_STMT(BPF_MISC | BPF_TXA, 0)},
        {load_first, BPF_STMT(BPF_ST, 3), load_second, BPF_STMT(BPF_LDX | BPF_MEM, 3),
         BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)},
        {load_second, second_to_x, BPF_STMT(BPF_STX, 15), load_first, BPF_STMT(BPF_LD | BPF_MEM, 15)},
        {load_second, BPF_STMT(BPF_JMP | BPF_JA, 1), BPF_STMT(BPF_LD | BPF_IMM, 1)},
        {load_second, BPF_STMT(BPF_ALU | BPF_NEG, 0)},
    };
    for (const int operation :
         {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH}) {
        const auto of_constant = static_cast<unsigned short>(BPF_ALU | operation | BPF_K);
        const auto of_register = static_cast<unsigned short>(BPF_ALU | operation | BPF_X);
        calculations.push_back({load_first, BPF_STMT(of_constant, 5)});
        calculations.push_back({load_second, second_to_x, load_first, BPF_STMT(of_register, 0)});
    }
    for (const int condition : {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET}) {
        for (const std::uint32_t constant : {0x304U, 0x305U, 0x306U, 0x80000000U}) {
            const auto of_constant = static_cast<unsigned short>(BPF_JMP | condition | BPF_K);
            calculations.push_back({load_second, BPF_JUMP(of_constant, constant, 0, 1),
                                    BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 2)});
        }
        const auto of_register = static_cast<unsigned short>(BPF_JMP | condition | BPF_X);
        calculations.push_back({load_second, second_to_x, load_first, BPF_JUMP(of_register, 0, 0, 1),
                                BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 2)});
    }
    for (std::size_t i = 0; i < calculations.size(); ++i) {
        INFO("calculation " << i);
        const SeccompFilter filter = fails_with(calculations[i]);
        const std::uint32_t answered = run_seccomp_filter(filter, call_of(SYS_getppid, {first, second}));
        CHECK((answered & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO);
        CHECK(static_cast<int>(answered & SECCOMP_RET_DATA) == kernels_answer(filter, first, second));
        CHECK(run_seccomp_filter(filter, call_of(SYS_getpid)) == SECCOMP_RET_ALLOW);
    }
}

TEST_CASE("a filter that no kernel accepts kills") {
    const std::vector<SeccompFilter> malformed = {
        {},                                                       // ends without an answer
        {load(2), answer(SECCOMP_RET_ALLOW)},                     // not aligned
        {load(sizeof(seccomp_data)), answer(SECCOMP_RET_ALLOW)},  // behind the data
        {BPF_STMT(BPF_ST, 16), answer(SECCOMP_RET_ALLOW)},        // behind the memory
        {BPF_STMT(BPF_LD | BPF_MEM, 0xffffffff), answer(SECCOMP_RET_ALLOW)},
        {BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff), answer(SECCOMP_RET_ALLOW)},
        {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 255, 255), answer(SECCOMP_RET_ALLOW)},
        {BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0), answer(SECCOMP_RET_ALLOW)},
        {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), answer(SECCOMP_RET_ALLOW)},
        {BPF_STMT(BPF_LDX | BPF_W | BPF_ABS, 0), answer(SECCOMP_RET_ALLOW)},
        {BPF_STMT(0xffff, 0), answer(SECCOMP_RET_ALLOW)},
    };
    for (std::size_t i = 0; i < malformed.size(); ++i) {
        INFO("filter " << i);
        CHECK(run_seccomp_filter(malformed[i], call_of(SYS_read)) == SECCOMP_RET_KILL_PROCESS);
    }
}

TEST_CASE("the strictest of several filters decides") {
    const auto decide = [](std::initializer_list<std::uint32_t> actions) {
        std::vector<SeccompFilter> filters;
        for (const std::uint32_t action : actions) filters.push_back({answer(action)});
        return strictest_action(filters, call_of(SYS_read));
    };
    CHECK(decide({}) == SECCOMP_RET_ALLOW);
    const std::vector<std::uint32_t> by_strictness = {
        SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_USER_NOTIF,   SECCOMP_RET_TRACE,       SECCOMP_RET_LOG,  SECCOMP_RET_ALLOW};
    for (std::size_t i = 0; i + 1 < by_strictness.size(); ++i) {
        CHECK(decide({by_strictness[i], by_strictness[i + 1]}) == by_strictness[i]);
        CHECK(decide({by_strictness[i + 1], by_strictness[i]}) == by_strictness[i]);
    }
    CHECK(decide({SECCOMP_RET_ERRNO | 1}) == SECCOMP_RET_ERRNO);
    CHECK(decide({0x00100000}) == SECCOMP_RET_KILL_PROCESS);  // an action of a later kernel
}
