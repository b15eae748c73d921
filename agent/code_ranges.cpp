#include "code_ranges.h"

#include <dlfcn.h>
#include <link.h>

#include "atomics.h"
#include "registry_layout.h"

// Weak: glibc has it since 2.35. Without it, only the remembered modules are known.
extern "C" [[gnu::weak]] int _dl_find_object(void*, struct dl_find_object*) noexcept;

namespace asyncdump::agent {
namespace {

struct Module {
    std::uintptr_t begin;
    std::uintptr_t end;
    std::uintptr_t code_begin;
    std::uintptr_t code_end;
};

constexpr std::size_t kMaximumModules = 256;
Module modules[kMaximumModules];
std::size_t module_count;

int remember(dl_phdr_info* info, std::size_t, void* only_first) {
    Module module{UINTPTR_MAX, 0, UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& segment = info->dlpi_phdr[i];
        if (segment.p_type != PT_LOAD) continue;
        const std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
        const std::uintptr_t end = begin + segment.p_memsz;
        if (begin < module.begin) module.begin = begin;
        if (end > module.end) module.end = end;
        if ((segment.p_flags & PF_X) == 0) continue;
        if (begin < module.code_begin) module.code_begin = begin;
        if (end > module.code_end) module.code_end = end;
    }
    const std::size_t count = module_count;
    if (module.begin < module.end && count < kMaximumModules) {
        modules[count] = module;
        store_release(module_count, count + 1);
    }
    return *static_cast<const bool*>(only_first) ? 1 : 0;
}

const Module* find_remembered(std::uintptr_t word) {
    const std::size_t count = load_acquire(module_count);
    for (std::size_t i = 0; i < count; ++i)
        if (word - modules[i].begin < modules[i].end - modules[i].begin) return &modules[i];
    return nullptr;
}

bool is_in_unknown_module(std::uintptr_t word) {
    if (_dl_find_object == nullptr) return false;
    dl_find_object found;
    return _dl_find_object(reinterpret_cast<void*>(word), &found) == 0;
}

bool is_pair(std::uintptr_t place, bool first_may_be_null) {
    const auto* words = reinterpret_cast<const std::uintptr_t*>(place);
    const std::uintptr_t second = load_relaxed(words[1]);
    if (!is_code(second)) return false;
    const std::uintptr_t first = load_relaxed(words[0]);
    return first == 0 ? first_may_be_null : is_code(first);
}

}  // namespace

void remember_code_ranges(bool only_executable) {
    dl_iterate_phdr(remember, &only_executable);
}

bool is_code(std::uintptr_t word) {
    constexpr std::uintptr_t lowest = 0x1000;
    if (word < lowest || word >> 47 != 0) return false;
    if (const Module* module = find_remembered(word))
        return word - module->code_begin < module->code_end - module->code_begin;
    return is_in_unknown_module(word);
}

bool may_be_return_address(std::uintptr_t word) {
    const Module* module = find_remembered(word);
    if (module == nullptr) return is_code(word);
    constexpr std::size_t longest_call = 7;
    if (word < module->code_begin + longest_call || word >= module->code_end) return false;
    const auto* code = reinterpret_cast<const std::uint8_t*>(word);
    if (code[-5] == 0xe8) return true;  // call rel32
    // call r/m64: ff /2 with a length that its addressing form decides
    const auto calls = [code](int length) {
        return code[-length] == 0xff && (code[-length + 1] & 0x38) == 0x10;
    };
    return calls(2) || calls(3) || calls(4) || calls(6) || calls(7);
}

bool may_hold_frame(std::uintptr_t block, std::size_t size) {
    constexpr std::size_t pair = 2 * sizeof(std::uintptr_t);
    if (size < pair) return false;
    if (is_pair(block, true)) return true;
    constexpr std::size_t largest_header = 64;
    for (std::size_t offset = sizeof(std::uintptr_t); offset <= largest_header && offset + pair <= size;
         offset += sizeof(std::uintptr_t))
        if (is_pair(block + offset, false)) return true;
    constexpr std::uintptr_t largest_alignment = 4096;
    for (std::uintptr_t alignment = 32; alignment <= largest_alignment; alignment *= 2) {
        const std::uintptr_t aligned = (block + alignment - 1) & ~(alignment - 1);
        if (aligned + pair > block + size) break;
        if (is_pair(aligned, true)) return true;
    }
    return false;
}

}  // namespace asyncdump::agent
