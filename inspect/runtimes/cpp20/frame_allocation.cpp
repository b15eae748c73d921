#include "runtimes/cpp20/frame_allocation.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtimes/cpp20/imported_functions.h"
#include "runtimes/cpp20/machine_code.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::uint64_t most_code = 64 * 1024;

enum class Allocation { unknown, seen, own };

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
        if (callee.starts_with(global)) return Allocation::seen;
    for (const std::string_view aligned : {"aligned_alloc", "posix_memalign", "memalign"})
        if (callee == aligned) return Allocation::seen;
    if (is_of_awaitable(callee)) return Allocation::seen;
    if (!callee.starts_with("_ZN")) return Allocation::unknown;
    for (const std::string_view member : {"nwEm", "dlEPv"})
        if (callee.find(member) != callee.npos) return Allocation::own;
    return Allocation::unknown;
}

Allocation allocation_in(const Module& module, const ImportedFunctions& imported, AddressRange code) {
    std::vector<std::byte> bytes(std::min(code.size(), most_code));
    bytes.resize(module.read_file_bytes(code.begin, bytes));
    Allocation found = Allocation::unknown;
    for (std::size_t offset = 0; offset < bytes.size();) {
        const Instruction instruction = decode(std::span(bytes).subspan(offset), code.begin + offset);
        if (instruction.operation == Operation::call || instruction.operation == Operation::jmp) {
            const Allocation allocation = allocation_by(imported.callee(instruction));
            if (allocation == Allocation::own) return allocation;
            if (allocation == Allocation::seen) found = allocation;
        }
        offset += std::max<std::size_t>(instruction.length, 1);
    }
    return found;
}

}  // namespace

bool may_allocate_unseen(const CoroutineCatalog& catalog) {
    std::unordered_map<const Module*, std::unique_ptr<ImportedFunctions>> imported;
    return std::ranges::any_of(catalog.functions(), [&](const CoroutineCode& code) {
        auto& functions = imported[code.module];
        if (!functions) functions = std::make_unique<ImportedFunctions>(*code.module);
        if (is_of_awaitable(code.ramp_symbol)) return false;
        // No frame of it was ever given memory of its own: it lies in its caller's.
        if (code.destroy.size() == 0 && code.cleanup.size() != 0) return false;
        for (const AddressRange part : {code.ramp, code.destroy, code.resume}) {
            const Allocation allocation = allocation_in(*code.module, *functions, part);
            if (allocation != Allocation::unknown) return allocation == Allocation::own;
        }
        return true;
    });
}

}  // namespace asyncdump::cpp20
