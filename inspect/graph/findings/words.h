// Words for findings, for this folder only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "graph/dump.h"

namespace asyncdump {

/// "worker": the function of a coroutine without its parameters, at most some 80 bytes.
std::string function_words(const Dump& dump, std::uint32_t coroutine);

/// "worker (server.cpp:61, task 3)": with the place at which it is suspended and its task, when known.
std::string place_words(const Dump& dump, std::uint32_t coroutine);

/// The same of several that a sentence has to tell apart, in their order: those that read alike get their
/// frame's address, "worker (server.cpp:61, task 3, frame 0x7f32a0)". A coroutine may be there twice.
std::vector<std::string> distinct_place_words(const Dump& dump, std::span<const std::uint32_t> coroutines);

/// "thread 4133 (worker)"
std::string thread_words(const Thread& thread);

const Thread* find_thread(const Dump& dump, std::int32_t tid);

std::string_view file_name(std::string_view path);

}  // namespace asyncdump
