// ASYNCDUMP_AGENT="stack=8,malloc=1,children=1"
#pragma once

#include <cstdint>

namespace asyncdump::agent {

struct Options {
    std::uint32_t stack_depth =
        8;                  ///< stack=0..32: return addresses kept for a block; 0: the allocation site only
    bool malloc = false;    ///< malloc=0|1: register blocks of malloc, calloc and realloc too
    bool children = false;  ///< children=0|1: leave the agent in LD_PRELOAD for programs started from here
};

/// What is wrong in `text` keeps its default; each mistake is reported once, in one line on standard error.
Options parse_options(const char* text);

}  // namespace asyncdump::agent
