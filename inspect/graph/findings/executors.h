// Which threads run coroutines and handlers of others. For this folder only.
#pragma once

#include <string_view>

#include "graph/dump.h"

namespace asyncdump {

/// A function in which a thread takes the next thing to run, by its name: boost::asio::io_context::run,
/// uv_run, QEventLoop::exec, a run() of somebody's own loop, executor or scheduler.
bool is_event_loop(std::string_view function);

/// Whether the thread runs coroutines or handlers: it executes a coroutine, has an event loop on its stack or
/// waits in epoll_wait. An idle worker whose functions are named otherwise is not recognised.
bool is_executor(const Thread& thread);

bool is_asleep(const Thread& thread);

/// Whether the thread may by itself come to end another thread's wait: it runs, or it will after a time or
/// when data arrive. A thread that reads nothing but standard input is left out: that seldom holds what a
/// server waits for. It can be wrong with one that is fed by it.
bool may_go_on(const Thread& thread);

/// Whether both threads were started as workers of one kind: below what `worker` executes of coroutines, both
/// stacks have a function of the program's own besides main.
bool runs_same_loop(const Thread& worker, const Thread& other);

/// The index of the innermost frame that is a coroutine's resume function; the number of frames when there is
/// none.
std::size_t innermost_coroutine(const Thread& thread);

}  // namespace asyncdump
