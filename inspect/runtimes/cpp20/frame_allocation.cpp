#include "runtimes/cpp20/frame_allocation.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtimes/cpp20/frame_size.h"
#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t most_code = 64 * 1024;

enum class Allocation { unknown, global, aligned, own };

/// Boost.Asio's and standalone Asio's awaitable frames come from aligned_alloc(), over a recycling of their
/// own.
bool is_of_awaitable(std::string_view name) {
    if (name.find("4asio") == name.npos) return false;
    return name.find("awaitable_frame") != name.npos || name.find("use_awaitable_t") != name.npos;
}

/// By the linkage name of what is called: _Znwm, _Znam, _ZdlPv and their like are the global operators; nwEm
/// and dlEPv within a nested name (_ZN...) are member operators new and delete.
Allocation allocation_by(std::string_view callee) {
    for (const std::string_view global : {"_Znw", "_Zna", "_ZdlPv", "_ZdaPv"})
        if (callee.starts_with(global)) return Allocation::global;
    for (const std::string_view aligned : {"aligned_alloc", "posix_memalign", "memalign"})
        if (callee == aligned) return Allocation::aligned;
    if (is_of_awaitable(callee)) return Allocation::aligned;
    if (!callee.starts_with("_ZN")) return Allocation::unknown;
    for (const std::string_view member : {"nwEm", "dlEPv"})
        if (callee.find(member) != callee.npos) return Allocation::own;
    return Allocation::unknown;
}

/// What a function's calls come to.
struct Calls {
    bool own = false, aligned = false;
    Allocation first = Allocation::unknown;  ///< of the first call
};

Calls calls_in(const Module& module, const ImportedFunctions& imported, AddressRange code) {
    std::vector<std::byte> bytes(std::min(code.size(), most_code));
    bytes.resize(module.read_file_bytes(code.begin, bytes));
    Calls calls;
    bool is_first = true;
    for (std::size_t offset = 0; offset < bytes.size();) {
        const Instruction instruction = decode(std::span(bytes).subspan(offset), code.begin + offset);
        if (instruction.operation == Operation::call || instruction.operation == Operation::jmp) {
            const Allocation allocation = allocation_by(imported.callee(instruction));
            calls.own |= allocation == Allocation::own;
            calls.aligned |= allocation == Allocation::aligned;
            if (is_first && instruction.operation == Operation::call) calls.first = allocation;
            is_first = is_first && instruction.operation != Operation::call;
        }
        offset += std::max<std::size_t>(instruction.length, 1);
    }
    return calls;
}

/// The frame itself, not something that it owned.
bool gives_frame_to_global_delete(const Module& module, const ImportedFunctions& imported,
                                  AddressRange function) {
    bool gives = false;
    for_each_call_with_frame(module, function,
                             [&](const Instruction& call, std::optional<std::uint32_t> /*size*/) {
                                 gives |= allocation_by(imported.callee(call)) == Allocation::global;
                             });
    return gives;
}

bool may_allocate_unseen(const CoroutineCode& code, const ImportedFunctions& imported) {
    if (is_of_awaitable(code.ramp_symbol)) return false;
    // No frame of it was ever given memory of its own: it lies in its caller's.
    if (code.destroy.size() == 0 && code.cleanup.size() != 0) return false;
    bool is_aligned = false;
    for (const AddressRange part : {code.ramp, code.destroy, code.resume}) {
        const Calls calls = calls_in(*code.module, imported, part);
        if (calls.own) return true;
        is_aligned |= calls.aligned;
        // GCC's ramp begins with the frame's memory.
        if (part == code.ramp && code.compiler == Compiler::gcc && calls.first == Allocation::global)
            return false;
    }
    if (is_aligned) return false;
    // GCC's destroy function is its resume function with another number.
    const AddressRange destroying = code.compiler == Compiler::gcc ? code.resume : code.destroy;
    return !gives_frame_to_global_delete(*code.module, imported, destroying);
}

}  // namespace

bool may_allocate_unseen(const CoroutineCatalog& catalog) {
    std::unordered_map<const Module*, std::unique_ptr<ImportedFunctions>> imported;
    return std::ranges::any_of(catalog.functions(), [&](const CoroutineCode& code) {
        auto& functions = imported[code.module];
        if (!functions) functions = std::make_unique<ImportedFunctions>(*code.module);
        return may_allocate_unseen(code, *functions);
    });
}

}  // namespace asyncdump::cpp20
