#include "runtimes/cpp20/imported_functions.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <vector>

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_relocations = 1'000'000;
constexpr std::size_t max_name_bytes = 4096;

// By prefix: the sanitizers' reports come in many sizes.
constexpr std::string_view never_returning[] = {
    "__asan_report_",
    "__ubsan_handle_builtin_unreachable",
    "__ubsan_handle_missing_return",
    "__cxa_throw",
    "__cxa_rethrow",
    "__cxa_bad_",
    "__cxa_pure_virtual",
    "__cxa_call_unexpected",
    "__cxa_call_terminate",
    "_Unwind_Resume",
    "__stack_chk_fail",
    "__assert_fail",
    "__fortify_fail",
    "__chk_fail",
    "_ZSt9terminatev",
    "_ZSt10unexpectedv",
    "_ZSt17rethrow_exception",
    "__clang_call_terminate",
    "_ZNSt15__exception_ptr17rethrow_exception",
};
constexpr std::string_view never_returning_exactly[] = {"abort", "exit",       "_exit",
                                                        "_Exit", "quick_exit", "longjmp"};

}  // namespace

ImportedFunctions::ImportedFunctions(const Module& module) : module_(module) {
    read_relocations(".rela.plt");
    read_relocations(".rela.dyn");
}

void ImportedFunctions::read_relocations(std::string_view section) {
    const auto relocations = module_.section(section), symbols = module_.section(".dynsym"),
               names = module_.section(".dynstr");
    if (!relocations || !symbols || !names) return;
    std::vector<Elf64_Rela> entries(
        std::min<std::size_t>(relocations->size() / sizeof(Elf64_Rela),
                              max_relocations - std::min(slots_.size(), max_relocations)));
    const std::size_t bytes =
        module_.read_file_bytes(relocations->begin, std::as_writable_bytes(std::span(entries)));
    entries.resize(bytes / sizeof(Elf64_Rela));
    for (const Elf64_Rela& entry : entries) {
        const auto type = ELF64_R_TYPE(entry.r_info);
        const std::uint64_t index = ELF64_R_SYM(entry.r_info);
        if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || index == 0) continue;
        if (index >= symbols->size() / sizeof(Elf64_Sym)) continue;
        Elf64_Sym symbol{};
        if (module_.read_file_bytes(symbols->begin + index * sizeof symbol,
                                    std::as_writable_bytes(std::span(&symbol, 1))) != sizeof symbol ||
            symbol.st_name >= names->size()) {
            continue;
        }
        std::array<char, max_name_bytes> name{};
        const std::size_t length = std::min<std::uint64_t>(name.size() - 1, names->size() - symbol.st_name);
        module_.read_file_bytes(names->begin + symbol.st_name,
                                std::as_writable_bytes(std::span(name).first(length)));
        slots_.emplace(entry.r_offset + module_.bias(), name.data());
    }
}

std::string_view ImportedFunctions::callee(const Instruction& call) const {
    const auto through_slot = [&](const Instruction& instruction) -> std::string_view {
        const Operand& target = instruction.operands[0];
        if (!target.is_memory() || !target.rip_relative) return {};
        const auto slot = slots_.find(static_cast<std::uint64_t>(target.value));
        return slot == slots_.end() ? std::string_view{} : std::string_view(slot->second);
    };
    const auto target = call.direct_target();
    if (!target) return through_slot(call);
    if (const Symbol* symbol = module_.symbol_at(*target); symbol != nullptr && symbol->address == *target)
        return symbol->name;

    // An entry of the procedure linkage table: [endbr64] jmp *slot(%rip).
    std::array<std::byte, 32> stub{};
    const std::size_t length = module_.read_file_bytes(*target, stub);
    for (const Instruction& instruction : decode_all(std::span(stub).first(length), *target, 3)) {
        if (instruction.operation == Operation::jmp) return through_slot(instruction);
        if (instruction.operation != Operation::endbr && instruction.operation != Operation::nop) break;
    }
    return {};
}

bool ImportedFunctions::never_returns(const Instruction& call) const {
    const std::string_view name = callee(call);
    if (name.empty()) return false;
    return std::ranges::any_of(never_returning,
                               [&](std::string_view prefix) { return name.starts_with(prefix); }) ||
           std::ranges::find(never_returning_exactly, name) != std::end(never_returning_exactly) ||
           name.find("__throw_") != std::string_view::npos;
}

}  // namespace asyncdump::cpp20
