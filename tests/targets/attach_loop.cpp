// Stops and resumes process PID again and again until it is killed: attach_loop PID. Prints "." after the
// first time.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "process/stopped_process.h"

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t pid = argc > 1 ? std::atoi(argv[1]) : 0;
    bool told = false;
    while (true) {
        auto stopped = asyncdump::StoppedProcess::stop(pid, {});
        if (!stopped) {
            std::fprintf(stderr, "%s\n", stopped.error().message.c_str());
            return 1;
        }
        stopped->resume();
        if (!told && write(STDOUT_FILENO, ".", 1) != 1) return 1;
        told = true;
    }
}
