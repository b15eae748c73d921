#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "modules/module.h"

namespace asyncdump::cpp20 {

enum class Compiler : std::uint8_t { gcc, clang };

/// The machine code of one coroutine function, as its symbols tell. Facts about the symbols' names:
/// docs/frames.md.
struct CoroutineCode {
    const Module* module = nullptr;
    Compiler compiler = Compiler::gcc;
    std::string ramp_symbol;  ///< linkage name of the ramp: what the user wrote
    AddressRange resume;      ///< GCC: .Frame.actor, clang: .resume
    AddressRange destroy;     ///< .Frame.destroy, .destroy; empty when there is no such symbol
    AddressRange cleanup;  ///< clang only: .cleanup, in place of destroy in a frame with an elided allocation
    std::vector<AddressRange> cold;          ///< .cold parts of the resume function
    std::vector<AddressRange> destroy_cold;  ///< the same of the destroy function
    AddressRange ramp;                       ///< the ramp itself; empty when it was inlined everywhere
};

}  // namespace asyncdump::cpp20
