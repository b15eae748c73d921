// Processes into which the agent cannot or must not be loaded, and some into which it can though it looks
// alike. Each says READY, waits for the end of its input, and exits with 0 when it was left unharmed.
//
//   filter ACTION CALL [CALL...]   a seccomp filter answers ACTION (kill, kill_thread, trap, errno, trace,
//                                  log) to these calls; CALL "socket", "openat", "mmap_exec", ...;
//                                  it waits with a time limit
//   one_thread ACTION CALL...      the same, of the main thread alone; another one waits without a filter
//   strict                         seccomp's strict mode
//   vfork                          a child of vfork() that lives in its parent's memory
//   ended                          the main thread has ended
//   descriptors, memory            no descriptor, no address space is left
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "truth.h"

namespace {

[[noreturn]] void fail(const char* what) {
    perror(what);
    _exit(1);
}

unsigned action_of(const std::string& name) {
    if (name == "kill") return SECCOMP_RET_KILL_PROCESS;
    if (name == "kill_thread") return SECCOMP_RET_KILL_THREAD;
    if (name == "trap") return SECCOMP_RET_TRAP;
    if (name == "errno") return SECCOMP_RET_ERRNO | 1;
    if (name == "trace") return SECCOMP_RET_TRACE;
    return SECCOMP_RET_LOG;
}

unsigned call_of(const std::string& name) {
    if (name == "openat") return SYS_openat;
    if (name == "mmap_exec") return SYS_mmap;
    if (name == "mprotect") return SYS_mprotect;
    if (name == "rt_sigreturn") return SYS_rt_sigreturn;
    if (name == "gettid") return SYS_gettid;
    if (name == "restart_syscall") return SYS_restart_syscall;
    return SYS_socket;
}

void install_filter(const std::string& action, const std::vector<std::string>& calls) {
    std::vector<sock_filter> filter;
    for (const std::string& call : calls) {
        filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
        const bool looks_at_protection = call == "mmap_exec";
        filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call_of(call), 0,
                                  static_cast<unsigned char>(looks_at_protection ? 3 : 1)));
        if (looks_at_protection) {
            filter.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])));
            filter.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1));
        }
        filter.push_back(BPF_STMT(BPF_RET | BPF_K, action_of(action)));
    }
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) fail("seccomp");
}

void say_ready() {
    constexpr char ready[] = "READY\n";
    if (write(1, ready, sizeof ready - 1) != sizeof ready - 1) fail("write");
}

void wait_for_end_of_input() {
    char byte;
    while (read(0, &byte, 1) > 0) continue;
}

/// With a time limit, so that a stop breaks the wait off and the kernel goes on with it by
/// restart_syscall(2).
void wait_for_end_of_input_in_poll() {
    constexpr int longer_than_the_test = 1'000'000;
    pollfd input{0, POLLIN, 0};
    while (poll(&input, 1, longer_than_the_test) != 1) continue;
}

void use_up_memory() {
    long pages = 0;
    FILE* const file = fopen("/proc/self/statm", "r");
    if (file == nullptr || fscanf(file, "%ld", &pages) != 1) fail("statm");
    fclose(file);
    const rlim_t bytes = static_cast<rlim_t>(pages) * 4096 + 300'000;
    const rlimit limit{bytes, bytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0) fail("setrlimit");
}

void wait_for_end_of(pid_t main_thread) {
    const std::string path = "/proc/self/task/" + std::to_string(main_thread) + "/stat";
    for (char state = 0; state != 'Z'; sched_yield()) {
        char text[512] = {};
        const int file = open(path.c_str(), O_RDONLY);
        if (file < 0 || read(file, text, sizeof text - 1) < 0) fail("stat");
        close(file);
        const char* const name_end = strrchr(text, ')');
        state = name_end != nullptr ? name_end[2] : 'Z';
    }
}

}  // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string scenario = argc > 1 ? argv[1] : "";
    ::operator delete(::operator new(16));  // without operator new the agent has nothing to do
    if (scenario == "filter" || scenario == "one_thread") {
        std::thread other;
        if (scenario == "one_thread") other = std::thread(wait_for_end_of_input);
        install_filter(argv[2], {argv + 3, argv + argc});
        say_ready();
        wait_for_end_of_input_in_poll();
        _exit(0);
    } else if (scenario == "strict") {
        say_ready();
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) fail("seccomp");
        wait_for_end_of_input();
        syscall(SYS_exit, 0);  // _exit() is exit_group(2), which is not permitted
    } else if (scenario == "vfork") {
        const pid_t child = vfork();
        if (child == 0) {
            say_ready();
            wait_for_end_of_input();
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    } else if (scenario == "ended") {
        std::thread([main_thread = getpid()] {
            wait_for_end_of(main_thread);
            say_ready();
            wait_for_end_of_input();
            _exit(0);
        }).detach();
        pthread_exit(nullptr);
    } else if (scenario == "descriptors") {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = 64;
        setrlimit(RLIMIT_NOFILE, &limit);
        while (open("/dev/null", O_RDONLY) >= 0) continue;
    } else if (scenario == "memory") {
        use_up_memory();
    }
    say_ready();
    wait_for_end_of_input();
    _exit(0);
}
