#include "hooks.h"

#include <malloc.h>

#include <type_traits>

#include "atomics.h"

namespace asyncdump::agent {

Recorder recorder;

namespace {

[[gnu::tls_model("initial-exec")]] thread_local ThreadState thread;
static_assert(sizeof(ThreadState) < 96,
              "a library that is loaded late gets little static thread-local storage");

bool records_malloc;

// Each hook ends in a jump through an entry: to malloc or free, or to the next definition of the form. Until
// that is known, to a function that finds it out. So the hot paths ask nothing but what they have to know.
//
// The slow paths are functions of their own, which the hooks leave by a jump: they see the caller's return
// address and frame pointer as their own.

#define ASYNCDUMP_CALL_SITE                                                 \
    CallSite {                                                              \
        reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),      \
            *static_cast<const std::uintptr_t*>(__builtin_frame_address(0)) \
    }

template <class Result, class... Arguments>
[[gnu::always_inline]] inline Result forward(Form form, Arguments... arguments) {
    return reinterpret_cast<Result (*)(Arguments...)>(next_function(form))(arguments...);
}

template <Form form, class Result, class... Arguments>
struct Entry {
    using Function = Result (*)(Arguments...);

    [[gnu::noinline]] static Result find(Arguments... arguments) {
        need_real_functions();
        constexpr bool allocates = !std::is_void_v<Result>;
        Function found = nullptr;
        if (load_acquire(mode) == Mode::direct) {
            // More arguments than a function takes do no harm in this calling convention.
            if constexpr (allocates)
                found = reinterpret_cast<Function>(reinterpret_cast<void*>(real.malloc));
            else
                found = reinterpret_cast<Function>(reinterpret_cast<void*>(real.free));
        } else {
            found = reinterpret_cast<Function>(next_function(form));
        }
        store_release(function, found);
        return found(arguments...);
    }

    static inline constinit Function function = &find;
};

template <Form form, class... Rest>
[[gnu::noinline]] void* out_of_memory(std::size_t size, Rest... rest) {
    // malloc knows no new handler and does not throw; who was asked already in the other mode does.
    return load_acquire(mode) == Mode::direct ? forward<void*>(form, size, rest...) : nullptr;
}

template <Form form, class... Rest>
[[gnu::always_inline]] inline void* allocate(std::size_t size, Rest... rest) {
    void* block = load_relaxed(Entry<form, void*, std::size_t, Rest...>::function)(size, rest...);
    if (block == nullptr) [[unlikely]]
        return out_of_memory<form>(size, rest...);
    return block;
}

template <Form form, class... Rest>
[[gnu::noinline]] void* allocate_recorded(std::size_t size, Rest... rest) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    void* block = allocate<form>(size, rest...);
    if (block == nullptr) [[unlikely]]
        return nullptr;
    const std::uint64_t key = site_key(call.return_address, size_class(size));
    if (!recorder.begin_quickly(block, size, key, call, thread)) [[unlikely]]
        recorder.begin(block, size, key, call, 0, false, thread);
    return block;
}

/// All forms without alignment. Inlined into the hook, whose return address is the site.
template <Form form, class... Rest>
[[gnu::always_inline]] inline void* hooked_new(std::size_t size, Rest... rest) {
    if (size >= kMinimumBlock) {
        const auto return_address = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
        if (!recorder.goes_unrecorded(site_key(return_address, size_class(size)), thread))
            return allocate_recorded<form>(size, rest...);
    }
    return allocate<form>(size, rest...);
}

/// Aligned blocks are all registered: they are few, and where they are frames they come from shared wrappers
/// (Boost.Asio's aligned_new, std::pmr), whose verdict could be wrong.
template <Form form, class... Rest>
[[gnu::always_inline]] inline void* hooked_aligned_new(std::size_t size, std::size_t alignment,
                                                       Rest... rest) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    need_real_functions();
    void* block = nullptr;
    const std::size_t rounded = ((size != 0 ? size : 1) + alignment - 1) & ~(alignment - 1);
    if (load_acquire(mode) == Mode::direct && rounded >= size) block = real.aligned_alloc(alignment, rounded);
    if (block == nullptr) block = forward<void*>(form, size, alignment, rest...);
    if (block != nullptr && size >= kMinimumBlock)
        recorder.begin(block, size, site_key(call.return_address, size_class(size)), call, 0, true, thread);
    return block;
}

template <Form form, class... Rest>
[[gnu::noinline]] void delete_recorded(void* block, Rest... rest) {
    if (recorder.end(block)) load_relaxed(Entry<form, void, void*, Rest...>::function)(block, rest...);
}

template <Form form, class... Rest>
[[gnu::always_inline]] inline void hooked_delete(void* block, Rest... rest) {
    if (recorder.end_quickly(block) == Recorder::Ended::not_yet) [[unlikely]]
        return delete_recorded<form>(block, rest...);
    return load_relaxed(Entry<form, void, void*, Rest...>::function)(block, rest...);
}

[[gnu::always_inline]] inline void record_c_block(void* block, std::size_t size, CallSite call, bool always) {
    if (block == nullptr || size < kMinimumBlock) return;
    const std::uint64_t key = site_key(call.return_address, size_class(size));
    if (always || !recorder.goes_unrecorded(key, thread))
        recorder.begin(block, size, key, call, ASYNCDUMP_SLOT_MALLOC, always, thread);
}

[[gnu::noinline]] void* malloc_recorded(std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    void* block = real.malloc(size);
    record_c_block(block, size, call, false);
    return block;
}

[[gnu::noinline]] void* calloc_recorded(std::size_t count, std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    void* block = real.calloc(count, size);
    record_c_block(block, count * size, call, false);
    return block;
}

// While the real functions are looked up, the dynamic linker may allocate: it does without when it gets
// nothing.
void* first_malloc(std::size_t size);
void* first_calloc(std::size_t count, std::size_t size);
void first_free(void* block);

constinit auto malloc_entry = &first_malloc;
constinit auto calloc_entry = &first_calloc;
constinit auto free_entry = &first_free;

void* first_malloc(std::size_t size) {
    need_real_functions();
    if (real.malloc == nullptr) return nullptr;
    if (load_acquire(mode) != Mode::unresolved && malloc_entry == &first_malloc)
        store_release(malloc_entry, real.malloc);
    return real.malloc(size);
}

void* first_calloc(std::size_t count, std::size_t size) {
    need_real_functions();
    if (real.calloc == nullptr) return nullptr;
    if (load_acquire(mode) != Mode::unresolved && calloc_entry == &first_calloc)
        store_release(calloc_entry, real.calloc);
    return real.calloc(count, size);
}

void first_free(void* block) {
    need_real_functions();
    if (real.free == nullptr) return;
    if (load_acquire(mode) != Mode::unresolved) store_release(free_entry, real.free);
    real.free(block);
}

[[gnu::noinline]] void free_recorded(void* block) {
    if (recorder.end(block)) load_relaxed(free_entry)(block);
}

/// Only when another thread looks at the block at this moment: it is left to that thread.
void* reallocate_elsewhere(void* block, std::size_t size) {
    void* moved = real.malloc(size != 0 ? size : 1);
    if (moved == nullptr) return nullptr;
    const std::size_t present = malloc_usable_size(block);
    __builtin_memcpy(moved, block, present < size ? present : size);
    if (recorder.end(block)) real.free(block);
    return moved;
}

}  // namespace

ThreadState& this_thread() {
    return thread;
}

void record_malloc() {
    records_malloc = true;
    store_release(malloc_entry, &malloc_recorded);
    store_release(calloc_entry, &calloc_recorded);
}

}  // namespace asyncdump::agent

using namespace asyncdump::agent;

extern "C" {

void* asyncdump_hook_new(std::size_t size) {
    return hooked_new<Form::new_scalar>(size);
}
void* asyncdump_hook_new_array(std::size_t size) {
    return hooked_new<Form::new_array>(size);
}
void* asyncdump_hook_new_nothrow(std::size_t size, const void* tag) {
    return hooked_new<Form::new_scalar_nothrow>(size, tag);
}
void* asyncdump_hook_new_array_nothrow(std::size_t size, const void* tag) {
    return hooked_new<Form::new_array_nothrow>(size, tag);
}
void* asyncdump_hook_new_aligned(std::size_t size, std::size_t alignment) {
    return hooked_aligned_new<Form::new_scalar_aligned>(size, alignment);
}
void* asyncdump_hook_new_array_aligned(std::size_t size, std::size_t alignment) {
    return hooked_aligned_new<Form::new_array_aligned>(size, alignment);
}
void* asyncdump_hook_new_aligned_nothrow(std::size_t size, std::size_t alignment, const void* tag) {
    return hooked_aligned_new<Form::new_scalar_aligned_nothrow>(size, alignment, tag);
}
void* asyncdump_hook_new_array_aligned_nothrow(std::size_t size, std::size_t alignment, const void* tag) {
    return hooked_aligned_new<Form::new_array_aligned_nothrow>(size, alignment, tag);
}

void asyncdump_hook_delete(void* block) {
    hooked_delete<Form::delete_scalar>(block);
}
void asyncdump_hook_delete_array(void* block) {
    hooked_delete<Form::delete_array>(block);
}
void asyncdump_hook_delete_sized(void* block, std::size_t size) {
    hooked_delete<Form::delete_scalar_sized>(block, size);
}
void asyncdump_hook_delete_array_sized(void* block, std::size_t size) {
    hooked_delete<Form::delete_array_sized>(block, size);
}
void asyncdump_hook_delete_nothrow(void* block, const void* tag) {
    hooked_delete<Form::delete_scalar_nothrow>(block, tag);
}
void asyncdump_hook_delete_array_nothrow(void* block, const void* tag) {
    hooked_delete<Form::delete_array_nothrow>(block, tag);
}
void asyncdump_hook_delete_aligned(void* block, std::size_t alignment) {
    hooked_delete<Form::delete_scalar_aligned>(block, alignment);
}
void asyncdump_hook_delete_array_aligned(void* block, std::size_t alignment) {
    hooked_delete<Form::delete_array_aligned>(block, alignment);
}
void asyncdump_hook_delete_sized_aligned(void* block, std::size_t size, std::size_t alignment) {
    hooked_delete<Form::delete_scalar_sized_aligned>(block, size, alignment);
}
void asyncdump_hook_delete_array_sized_aligned(void* block, std::size_t size, std::size_t alignment) {
    hooked_delete<Form::delete_array_sized_aligned>(block, size, alignment);
}
void asyncdump_hook_delete_aligned_nothrow(void* block, std::size_t alignment, const void* tag) {
    hooked_delete<Form::delete_scalar_aligned_nothrow>(block, alignment, tag);
}
void asyncdump_hook_delete_array_aligned_nothrow(void* block, std::size_t alignment, const void* tag) {
    hooked_delete<Form::delete_array_aligned_nothrow>(block, alignment, tag);
}

void* asyncdump_hook_malloc(std::size_t size) {
    return load_relaxed(malloc_entry)(size);
}

void* asyncdump_hook_calloc(std::size_t count, std::size_t size) {
    return load_relaxed(calloc_entry)(count, size);
}

void* asyncdump_hook_realloc(void* block, std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    need_real_functions();
    if (real.realloc == nullptr) [[unlikely]]
        return nullptr;
    asyncdump_record record;
    std::uint8_t flags = 0;
    void* moved = nullptr;
    switch (recorder.take(block, record, flags)) {
        case Recorder::Taken::not_registered:
            moved = real.realloc(block, size);
            break;
        case Recorder::Taken::examined:
            moved = reallocate_elsewhere(block, size);
            break;
        case Recorder::Taken::taken:
            moved = real.realloc(block, size);
            if (moved == nullptr && size != 0) {
                recorder.put_back(block, record, flags);
                return nullptr;
            }
            recorder.drop_taken(record, flags);
            break;
    }
    // A frame holds pointers into itself, so that no block that was moved or grown is one.
    if (records_malloc && block == nullptr) record_c_block(moved, size, call, false);
    return moved;
}

void asyncdump_hook_free(void* block) {
    if (recorder.end_quickly(block) == Recorder::Ended::not_yet) [[unlikely]]
        return free_recorded(block);
    return load_relaxed(free_entry)(block);
}

void* asyncdump_hook_aligned_alloc(std::size_t alignment, std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    need_real_functions();
    void* block = real.aligned_alloc(alignment, size);
    record_c_block(block, size, call, true);
    return block;
}

void* asyncdump_hook_memalign(std::size_t alignment, std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    need_real_functions();
    void* block = real.memalign(alignment, size);
    record_c_block(block, size, call, true);
    return block;
}

int asyncdump_hook_posix_memalign(void** block, std::size_t alignment, std::size_t size) {
    const CallSite call = ASYNCDUMP_CALL_SITE;
    need_real_functions();
    const int result = real.posix_memalign(block, alignment, size);
    if (result == 0) record_c_block(*block, size, call, true);
    return result;
}

// The exported names. Of align_val_t and nothrow_t only what the calling convention sees matters.
#define ASYNCDUMP_EXPORT(result, name, arguments, hook) \
    result name arguments __attribute__((alias(#hook), visibility("default")))

ASYNCDUMP_EXPORT(void*, _Znwm, (std::size_t), asyncdump_hook_new);
ASYNCDUMP_EXPORT(void*, _Znam, (std::size_t), asyncdump_hook_new_array);
ASYNCDUMP_EXPORT(void*, _ZnwmRKSt9nothrow_t, (std::size_t, const void*), asyncdump_hook_new_nothrow);
ASYNCDUMP_EXPORT(void*, _ZnamRKSt9nothrow_t, (std::size_t, const void*), asyncdump_hook_new_array_nothrow);
ASYNCDUMP_EXPORT(void*, _ZnwmSt11align_val_t, (std::size_t, std::size_t), asyncdump_hook_new_aligned);
ASYNCDUMP_EXPORT(void*, _ZnamSt11align_val_t, (std::size_t, std::size_t), asyncdump_hook_new_array_aligned);
ASYNCDUMP_EXPORT(void*, _ZnwmSt11align_val_tRKSt9nothrow_t, (std::size_t, std::size_t, const void*),
                 asyncdump_hook_new_aligned_nothrow);
ASYNCDUMP_EXPORT(void*, _ZnamSt11align_val_tRKSt9nothrow_t, (std::size_t, std::size_t, const void*),
                 asyncdump_hook_new_array_aligned_nothrow);

ASYNCDUMP_EXPORT(void, _ZdlPv, (void*), asyncdump_hook_delete);
ASYNCDUMP_EXPORT(void, _ZdaPv, (void*), asyncdump_hook_delete_array);
ASYNCDUMP_EXPORT(void, _ZdlPvm, (void*, std::size_t), asyncdump_hook_delete_sized);
ASYNCDUMP_EXPORT(void, _ZdaPvm, (void*, std::size_t), asyncdump_hook_delete_array_sized);
ASYNCDUMP_EXPORT(void, _ZdlPvRKSt9nothrow_t, (void*, const void*), asyncdump_hook_delete_nothrow);
ASYNCDUMP_EXPORT(void, _ZdaPvRKSt9nothrow_t, (void*, const void*), asyncdump_hook_delete_array_nothrow);
ASYNCDUMP_EXPORT(void, _ZdlPvSt11align_val_t, (void*, std::size_t), asyncdump_hook_delete_aligned);
ASYNCDUMP_EXPORT(void, _ZdaPvSt11align_val_t, (void*, std::size_t), asyncdump_hook_delete_array_aligned);
ASYNCDUMP_EXPORT(void, _ZdlPvmSt11align_val_t, (void*, std::size_t, std::size_t),
                 asyncdump_hook_delete_sized_aligned);
ASYNCDUMP_EXPORT(void, _ZdaPvmSt11align_val_t, (void*, std::size_t, std::size_t),
                 asyncdump_hook_delete_array_sized_aligned);
ASYNCDUMP_EXPORT(void, _ZdlPvSt11align_val_tRKSt9nothrow_t, (void*, std::size_t, const void*),
                 asyncdump_hook_delete_aligned_nothrow);
ASYNCDUMP_EXPORT(void, _ZdaPvSt11align_val_tRKSt9nothrow_t, (void*, std::size_t, const void*),
                 asyncdump_hook_delete_array_aligned_nothrow);

ASYNCDUMP_EXPORT(void*, malloc, (std::size_t), asyncdump_hook_malloc);
ASYNCDUMP_EXPORT(void*, calloc, (std::size_t, std::size_t), asyncdump_hook_calloc);
ASYNCDUMP_EXPORT(void*, realloc, (void*, std::size_t), asyncdump_hook_realloc);
ASYNCDUMP_EXPORT(void, free, (void*), asyncdump_hook_free);
ASYNCDUMP_EXPORT(void*, aligned_alloc, (std::size_t, std::size_t), asyncdump_hook_aligned_alloc);
ASYNCDUMP_EXPORT(void*, memalign, (std::size_t, std::size_t), asyncdump_hook_memalign);
ASYNCDUMP_EXPORT(int, posix_memalign, (void**, std::size_t, std::size_t), asyncdump_hook_posix_memalign);
}

namespace asyncdump::agent {

const void* hook_of_form(Form form) {
    // In the order of Form.
    static const void* const hooks[kForms] = {
        reinterpret_cast<const void*>(&asyncdump_hook_delete),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_sized),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array_sized),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_sized_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array_sized_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_aligned_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_delete_array_aligned_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_new),
        reinterpret_cast<const void*>(&asyncdump_hook_new_array),
        reinterpret_cast<const void*>(&asyncdump_hook_new_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_new_array_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_new_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_new_array_aligned),
        reinterpret_cast<const void*>(&asyncdump_hook_new_aligned_nothrow),
        reinterpret_cast<const void*>(&asyncdump_hook_new_array_aligned_nothrow),
    };
    return hooks[static_cast<unsigned>(form)];
}

}  // namespace asyncdump::agent
