// Words for findings, for this folder only.
#pragma once

#include <string>
#include <string_view>

#include "graph/dump.h"

namespace asyncdump {

/// "worker": the function of a coroutine without its parameters, at most some 80 bytes.
std::string function_words(const Dump& dump, std::uint32_t coroutine);

/// "worker (server.cpp:61, task 3)": with the place at which it is suspended and its task, when known.
std::string place_words(const Dump& dump, std::uint32_t coroutine);

/// "thread 4133 (worker)"
std::string thread_words(const Thread& thread);

const Thread* find_thread(const Dump& dump, std::int32_t tid);

std::string_view file_name(std::string_view path);

}  // namespace asyncdump
