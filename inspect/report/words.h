#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "runtimes/observation.h"

namespace asyncdump {

std::string_view word_for(CoroutineState state);  ///< as in the schema
std::string_view word_for(WaitKind kind);         ///< as in the schema

/// "2026-11-21T18:00:00.123Z", or for a person "2026-11-21 18:00:00 UTC".
std::string utc_time(std::chrono::system_clock::time_point time, bool iso_8601);

std::string grouped_digits(std::uint64_t number);  ///< "1,204"
/// "1 task", "1,204 tasks".
std::string counted(std::uint64_t number, std::string_view singular);
std::string rough_age(std::uint64_t milliseconds);  ///< "850 ms", "51 s", "12 min", "5 h", "3 days"
std::string short_duration(std::chrono::microseconds duration);  ///< "0.8 ms", "1.2 s"

}  // namespace asyncdump
