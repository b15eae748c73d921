#include "real_functions.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "dynamic_symbols.h"
#include "hooks.h"
#include "system_calls.h"

namespace asyncdump::agent {

const char* const kSymbolOfForm[kForms] = {
    "_ZdlPv",
    "_ZdaPv",
    "_ZdlPvm",
    "_ZdaPvm",
    "_ZdlPvRKSt9nothrow_t",
    "_ZdaPvRKSt9nothrow_t",
    "_ZdlPvSt11align_val_t",
    "_ZdaPvSt11align_val_t",
    "_ZdlPvmSt11align_val_t",
    "_ZdaPvmSt11align_val_t",
    "_ZdlPvSt11align_val_tRKSt9nothrow_t",
    "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    "_Znwm",
    "_Znam",
    "_ZnwmRKSt9nothrow_t",
    "_ZnamRKSt9nothrow_t",
    "_ZnwmSt11align_val_t",
    "_ZnamSt11align_val_t",
    "_ZnwmSt11align_val_tRKSt9nothrow_t",
    "_ZnamSt11align_val_tRKSt9nothrow_t",
};

RealFunctions real;
Mode mode;

namespace {

void* next_of[kForms];

[[gnu::tls_model("initial-exec")]] thread_local bool finding;

const link_map* module_of(const void* function) {
    Dl_info info;
    void* module = nullptr;
    return dladdr1(function, &info, &module, RTLD_DL_LINKMAP) == 0 ? nullptr
                                                                   : static_cast<const link_map*>(module);
}

/// An executable at a fixed position that takes a function's address has a stub for it, which dlsym returns
/// although the function is defined elsewhere. To call that is to come back here.
bool is_stub(const void* function) {
    Dl_info info;
    void* symbol = nullptr;
    return dladdr1(function, &info, &symbol, RTLD_DL_SYMENT) != 0 && symbol != nullptr &&
           static_cast<const ElfW(Sym)*>(symbol)->st_shndx == SHN_UNDEF;
}

/// The first definition behind the executable, in the order of the global scope.
void* definition_behind_executable(const char* name) {
    for (const link_map* module = _r_debug.r_map->l_next; module != nullptr; module = module->l_next)
        if (void* found = DynamicSymbols(module->l_addr, module->l_ld).definition(name)) return found;
    return nullptr;
}

/// What the name means for the target's modules; `own` when that is the agent's. RTLD_DEFAULT, because an
/// executable's own malloc stands before the agent.
void* meaning_of(const char* name, const void* own) {
    void* found = dlsym(RTLD_DEFAULT, name);
    return found != nullptr && found != own && is_stub(found) ? definition_behind_executable(name) : found;
}

/// The same, and when that is the agent's, the next definition behind it.
template <class Function>
void find(Function& function, const char* name, const void* own) {
    void* found = meaning_of(name, own);
    if (found == nullptr || found == own) found = dlsym(RTLD_NEXT, name);
    if (found != own) store_release(function, reinterpret_cast<Function>(found));
}

bool is_of_cpp_library(void* function) {
    Dl_info info;
    if (dladdr(function, &info) == 0 || info.dli_fname == nullptr) return false;
    const char* slash = strrchr(info.dli_fname, '/');
    const char* name = slash == nullptr ? info.dli_fname : slash + 1;
    return strncmp(name, "libstdc++.so", 12) == 0 || strncmp(name, "libc++.so", 9) == 0 ||
           strncmp(name, "libc++abi.so", 12) == 0;
}

const void* own_form(Form form) {
    return hook_of_form(form);
}

}  // namespace

void find_real_functions() {
    // dlsym allocates only to describe a failure. The functions looked up first exist, so that a failure
    // later on finds them; an allocation before that is refused, and dlsym does without.
    if (finding) return;
    finding = true;
    find(real.malloc, "malloc", reinterpret_cast<const void*>(&asyncdump_hook_malloc));
    find(real.free, "free", reinterpret_cast<const void*>(&asyncdump_hook_free));
    find(real.calloc, "calloc", reinterpret_cast<const void*>(&asyncdump_hook_calloc));
    find(real.realloc, "realloc", reinterpret_cast<const void*>(&asyncdump_hook_realloc));
    find(real.aligned_alloc, "aligned_alloc", reinterpret_cast<const void*>(&asyncdump_hook_aligned_alloc));
    find(real.memalign, "memalign", reinterpret_cast<const void*>(&asyncdump_hook_memalign));
    find(real.posix_memalign, "posix_memalign",
         reinterpret_cast<const void*>(&asyncdump_hook_posix_memalign));

    bool is_library = true;
    for (unsigned i = 0; i < kForms; ++i) {
        find(next_of[i], kSymbolOfForm[i], own_form(static_cast<Form>(i)));
        if (next_of[i] != nullptr && !is_of_cpp_library(next_of[i])) is_library = false;
    }
    dlerror();  // a failure to find one is ours; the program must not see it
    store_release(mode, is_library ? Mode::direct : Mode::forward);
    finding = false;
}

void* next_function(Form form) {
    need_real_functions();
    void*& next = next_of[static_cast<unsigned>(form)];
    if (next == nullptr) find(next, kSymbolOfForm[static_cast<unsigned>(form)], own_form(form));
    if (next == nullptr) {
        // A C program whose plugin brought the C++ library into a scope of its own.
        if (void* library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD))
            next = dlsym(library, kSymbolOfForm[static_cast<unsigned>(form)]);
    }
    if (next == nullptr) {
        constexpr char message[] = "asyncdump: out of memory, and no C++ library to report it to\n";
        write_to_standard_error(message, sizeof message - 1);
        abort();
    }
    return next;
}

NewOwner find_owner_of_new() {
    const char* name = kSymbolOfForm[static_cast<unsigned>(Form::new_scalar)];
    const void* found = meaning_of(name, own_form(Form::new_scalar));
    if (found == own_form(Form::new_scalar)) return NewOwner::agent;
    // Of an agent that was loaded late there is nothing behind.
    const bool preloaded = dlsym(RTLD_NEXT, name) != nullptr;
    dlerror();
    if (found != nullptr && module_of(found) == _r_debug.r_map) return NewOwner::executable;
    return preloaded ? NewOwner::earlier_library : NewOwner::no_preload;
}

}  // namespace asyncdump::agent
