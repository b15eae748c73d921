// The allocation functions that the target would use without the agent.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"

namespace asyncdump::agent {

/// The forms of operator new and delete, in the order in which an injector patches them: what frees comes
/// first.
enum class Form : unsigned {
    delete_scalar,
    delete_array,
    delete_scalar_sized,
    delete_array_sized,
    delete_scalar_nothrow,
    delete_array_nothrow,
    delete_scalar_aligned,
    delete_array_aligned,
    delete_scalar_sized_aligned,
    delete_array_sized_aligned,
    delete_scalar_aligned_nothrow,
    delete_array_aligned_nothrow,
    new_scalar,
    new_array,
    new_scalar_nothrow,
    new_array_nothrow,
    new_scalar_aligned,
    new_array_aligned,
    new_scalar_aligned_nothrow,
    new_array_aligned_nothrow,
};
inline constexpr unsigned kForms = 20;

extern const char* const kSymbolOfForm[kForms];

/// How operator new and delete reach the memory.
enum class Mode : std::uint32_t {
    unresolved,
    direct,   ///< the next operator new is the C++ library's: call malloc and free, which saves 1.4 to 2 ns a
              ///< pair
    forward,  ///< somebody else's: call that
};

struct RealFunctions {
    void* (*malloc)(std::size_t);
    void* (*calloc)(std::size_t, std::size_t);
    void* (*realloc)(void*, std::size_t);
    void (*free)(void*);
    void* (*aligned_alloc)(std::size_t, std::size_t);
    void* (*memalign)(std::size_t, std::size_t);
    int (*posix_memalign)(void**, std::size_t, std::size_t);
};

/// Set by find_real_functions(); before that they are null, and while it runs (the dynamic linker itself
/// allocates) some may be.
extern RealFunctions real;
extern Mode mode;

/// Usable from any hook, before any constructor has run. Harmless when repeated or run by several threads.
[[gnu::noinline]] void find_real_functions();

[[gnu::always_inline]] inline void need_real_functions() {
    if (load_acquire(mode) == Mode::unresolved) [[unlikely]]
        find_real_functions();
}

/// The definition of a form that the target would use without the agent. Ends the process with a message when
/// there is none: that needs a program that never loaded a C++ library and ran out of memory.
void* next_function(Form form);

/// Whose operator new the target's modules use.
enum class NewOwner {
    agent,
    executable,
    earlier_library,  ///< one that was preloaded before the agent
    no_preload        ///< the agent was loaded into a running process
};
NewOwner find_owner_of_new();

}  // namespace asyncdump::agent
