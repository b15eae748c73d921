// What a target of the live tests tells about itself, line by line on standard output, before it blocks:
//
// - `source FILE`: where the marks of the chains stand
// - `chain f@mark > g@mark > h [state]`: a path from a root to a leaf; every path of every tree is told once
// - `chain f@mark > g@mark x 999 > h`: the same element 999 times
// - `chains N f@mark > ...`: N such paths
// - `count N`: live coroutines that are not a library's own
// - `edges N`: await edges between them
// - `thread NAME FUNCTION`: a thread of this name has this function on its stack; told once for each
// - `threads N`: threads, without the watcher
// - `waits NAME SYSCALL`: a thread of this name is in this system call; told once for each
// - `depth NAME N`: the stack of the thread of this name has at least N frames
// - `problem CODE`: the dump has to say that it has this problem
// - `doubtful FUNCTION`: a coroutine that may stand apart with the problem "unreferenced"
// - `absent FUNCTION`: no coroutine of this name may be shown
// - `passing FUNCTION`: coroutines of this name may be shown
// - `READY`: all of the above holds from here on
//
// Only with the agent in the target:
//
// - `tid NAME TID`: the id of a thread, which may have ended
// - `created FUNCTION THREAD CREATOR@mark`: a coroutine was created by this thread in that function at that
//   line
// - `name TEXT`, `label TEXT`: a task has this name, this label
// - `under NAME: FUNCTIONS...`: what --under NAME leaves; likewise `created_by REGEX: FUNCTIONS...`
//
// A mark is a comment `// @mark` in the source on the line of the co_await (co_yield): the code itself is not
// changed by being told about. An element without a mark, or with @-, has no line that is compared. States
// belong to the element that they follow; without one it is "suspended".
#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace truth {

inline void* exit_at_end_of_input(void*) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
    _exit(0);
}

/// The first thing in main(): the target never outlives the test. The test ignores the thread
/// "truth-watcher".
inline void begin(const char* source) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_t watcher;
    if (pthread_create(&watcher, nullptr, exit_at_end_of_input, nullptr) != 0) _exit(70);
    pthread_setname_np(watcher, "truth-watcher");
    printf("source %s\n", source);
}

inline void ready() {
    puts("READY");
    fflush(stdout);
}

/// Blocks for ever in a system call of its own, so that a coroutine that calls it is found running. The
/// compiler does not get to know that it never returns.
inline void block() {
    volatile bool for_ever = true;
    while (for_ever) pause();
}

/// Tells the compiler that somebody may see and change the object: what it owns cannot be optimised away.
template <typename T>
void show(T& object) {
    asm volatile("" : : "r"(&object) : "memory");
}

}  // namespace truth

#define TRUTH_BEGIN() truth::begin(__FILE__)
