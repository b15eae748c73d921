// Counts every signal it gets. signal_storm THREADS starts that many threads (besides the main one), of which
// every second one computes and every other one waits in epoll_wait.
//   prints  "ready TID TID ...\n"
//   "work"  prints how often the computing threads went round: "work N\n"
//   "report" waits until each thread got its closing signal (SIGRTMIN+1, value: how many SIGRTMIN were sent
//   to it) and
//           prints "received N wrong N\n". The values of SIGRTMIN must count 0, 1, 2, ... for each thread.
//   end of input ends it.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <semaphore>
#include <thread>
#include <vector>

namespace {

std::atomic<long> work{0}, received{0}, wrong{0};
std::counting_semaphore<> closed{0};
thread_local int expected = 0;

void count_signal(int, siginfo_t* info, void*) {
    if (info->si_value.sival_int != expected) wrong.fetch_add(1);
    expected = info->si_value.sival_int + 1;
    received.fetch_add(1);
}

void close_count(int, siginfo_t* info, void*) {
    if (info->si_value.sival_int != expected) wrong.fetch_add(1);
    closed.release();
}

void install(int signal_number, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&action.sa_mask);
    sigaction(signal_number, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    install(SIGRTMIN, count_signal);
    install(SIGRTMIN + 1, close_count);
    std::vector<pid_t> tids(static_cast<std::size_t>(threads));
    std::counting_semaphore<> started{0};
    for (std::size_t i = 0; i < tids.size(); ++i) {
        std::thread([&, i] {
            tids[i] = gettid();
            started.release();
            const int waiting = epoll_create1(0);
            while (true) {
                if (i % 2 == 0) {
                    for (int round = 0; round < 1000; ++round) work.fetch_add(1);
                    std::this_thread::yield();
                } else {
                    epoll_event event;
                    epoll_wait(waiting, &event, 1, -1);
                }
            }
        }).detach();
    }
    for (std::size_t i = 0; i < tids.size(); ++i) started.acquire();
    std::printf("ready");
    for (const pid_t tid : tids) std::printf(" %d", tid);
    std::printf("\n");
    std::fflush(stdout);
    char line[64];
    while (std::fgets(line, sizeof line, stdin) != nullptr) {
        if (std::strcmp(line, "work\n") == 0) std::printf("work %ld\n", work.load());
        if (std::strcmp(line, "report\n") == 0) {
            for (std::size_t i = 0; i < tids.size(); ++i) closed.acquire();
            std::printf("received %ld wrong %ld\n", received.load(), wrong.load());
        }
        std::fflush(stdout);
    }
    std::_Exit(0);
}
