// The exported registry and the constructor.

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cstddef>

#include "code_ranges.h"
#include "dynamic_symbols.h"
#include "environment.h"
#include "hooks.h"
#include "include/asyncdump/annotate.h"
#include "options.h"
#include "registry_layout.h"
#include "system_calls.h"

extern "C" void* __libc_stack_end;

namespace asyncdump::agent {
namespace {

int name_task(const void* inside, const char* text, std::size_t length) {
    return recorder.annotate(reinterpret_cast<std::uintptr_t>(inside), {text, length}, {nullptr, 0}) ? 1 : 0;
}

int label_task(const void* inside, const char* text, std::size_t length) {
    return recorder.annotate(reinterpret_cast<std::uintptr_t>(inside), {nullptr, 0}, {text, length}) ? 1 : 0;
}

int register_frame(const void* frame, std::size_t bytes) {
    const CallSite call{reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)),
                        *static_cast<const std::uintptr_t*>(__builtin_frame_address(0))};
    return recorder.begin_explicit(reinterpret_cast<std::uintptr_t>(frame), bytes, &call, this_thread()) ? 1
                                                                                                         : 0;
}

void unregister_frame(const void* frame) {
    recorder.end_explicit(reinterpret_cast<std::uintptr_t>(frame));
}

std::uint32_t begin_scope(const char* text, std::size_t length) {
    return recorder.begin_scope({text, length}, this_thread());
}

void end_scope(std::uint32_t scope) {
    recorder.end_scope(scope, this_thread());
}

constexpr asyncdump_annotation_functions annotation_functions{sizeof(asyncdump_annotation_functions),
                                                              0,
                                                              &name_task,
                                                              &label_task,
                                                              &register_frame,
                                                              &unregister_frame,
                                                              &begin_scope,
                                                              &end_scope};

}  // namespace
}  // namespace asyncdump::agent

extern "C" {
/// Recognisable before the constructor has run; the rest follows there.
[[gnu::visibility("default")]] constinit asyncdump_registry_header asyncdump_registry = [] {
    asyncdump_registry_header header{};
    header.magic = ASYNCDUMP_REGISTRY_MAGIC;
    header.version_major = ASYNCDUMP_VERSION_MAJOR;
    header.version_minor = ASYNCDUMP_VERSION_MINOR;
    header.header_size = sizeof header;
    return header;
}();
}

namespace asyncdump::agent {
namespace {

static_assert(offsetof(asyncdump_registry_header, annotation_functions) ==
              offsetof(asyncdump_registry_prefix, annotation_functions));
static_assert(sizeof(asyncdump_region_list::numbers_plus_one) / sizeof(std::uint32_t) == kRegions);

template <class T>
std::uint64_t address_of(T* object) {
    return reinterpret_cast<std::uint64_t>(object);
}

constexpr unsigned kHooks = kForms + 8;
asyncdump_hook hook_table[kHooks];

void fill_hook_table() {
    unsigned used = 0;
    const auto add = [&used](const char* name, const void* hook, std::uint32_t phase, std::uint32_t needs) {
        hook_table[used++] = {address_of(name), address_of(hook), phase, needs};
    };
    const auto as_pointer = [](auto* function) { return reinterpret_cast<const void*>(function); };
    constexpr std::uint32_t frees = 0;
    constexpr std::uint32_t allocates = 1;
    constexpr std::uint32_t data = 2;
    constexpr auto first_new = static_cast<unsigned>(Form::new_scalar);
    add("free", as_pointer(&asyncdump_hook_free), frees, 0);
    add("realloc", as_pointer(&asyncdump_hook_realloc), frees, 0);
    for (unsigned i = 0; i < kForms; ++i)
        add(kSymbolOfForm[i], hook_of_form(static_cast<Form>(i)), i < first_new ? frees : allocates, 0);
    add("aligned_alloc", as_pointer(&asyncdump_hook_aligned_alloc), allocates, 0);
    add("memalign", as_pointer(&asyncdump_hook_memalign), allocates, 0);
    add("posix_memalign", as_pointer(&asyncdump_hook_posix_memalign), allocates, 0);
    add("malloc", as_pointer(&asyncdump_hook_malloc), allocates, ASYNCDUMP_FLAG_MALLOC);
    add("calloc", as_pointer(&asyncdump_hook_calloc), allocates, ASYNCDUMP_FLAG_MALLOC);
    add("asyncdump_registry", &asyncdump_registry, data, 0);
}

std::uint64_t adopt(const asyncdump_block* blocks, std::uint64_t count) {
    std::uint64_t adopted = 0;
    for (std::uint64_t i = 0; i < count; ++i)
        if (recorder.begin_explicit(blocks[i].address, blocks[i].size, nullptr, this_thread())) ++adopted;
    return adopted;
}

void announce_patched() {
    __atomic_fetch_or(&asyncdump_registry.flags, std::uint32_t{ASYNCDUMP_FLAG_PATCHED}, __ATOMIC_ACQ_REL);
    store_release(asyncdump_registry.state, std::uint32_t{ASYNCDUMP_STATE_RECORDING});
}

void in_forked_child() {
    this_thread().id = 0;
    asyncdump_registry.process_id = current_process_id();
    asyncdump_registry.flags |= ASYNCDUMP_FLAG_FORKED;
}

/// True also when that cannot be known.
bool executable_imports_new() {
    const link_map* executable = _r_debug.r_map;  // the first of all modules
    const DynamicSymbols symbols(executable->l_addr, executable->l_ld);
    return !symbols.is_readable() || symbols.imports("_Znwm");
}

ClockFunction find_clock() {
    // Straight to the kernel's function: saves 0.8 ns of 6.
    if (void* kernel = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD))
        if (void* function = dlvsym(kernel, "__vdso_clock_gettime", "LINUX_2.6"))
            return reinterpret_cast<ClockFunction>(function);
    dlerror();
    return &clock_gettime;
}

void describe_layout() {
    asyncdump_registry_header& header = asyncdump_registry;
    const auto part = [](const void* address, std::uint64_t count, std::size_t entry_size) {
        return asyncdump_part{address_of(address), count, static_cast<std::uint32_t>(entry_size), 0};
    };
    header.clock_id = CLOCK_MONOTONIC_COARSE;
    header.clock_unit_ns = 1'000'000;
    header.region_shift = kRegionShift;
    header.leaf_shift = kLeafShift;
    header.granule_shift = kGranuleShift;
    header.address_bits = kAddressBits;
    header.record_offset = offsetof(Leaf, records);
    header.record_size = sizeof(asyncdump_record);
    header.minimum_block = kMinimumBlock;
    header.region_list = part(recorder.blocks.region_list(), 1, sizeof(asyncdump_region_list));
    header.region_table = part(recorder.blocks.region_table(), kRegions, sizeof(std::uint64_t));
    header.sites = part(recorder.sites.sites(), kSites, sizeof(asyncdump_site));
    header.origin_chunks = part(recorder.origins.chunk_directory(), kOriginChunks, sizeof(std::uint64_t));
    header.origin_chunk_shift = kOriginChunkShift;
    header.origin_unit = kOriginUnit;
    header.origin_header_size = sizeof(asyncdump_origin);
    header.annotation_chunk_shift = kAnnotationChunkShift;
    header.annotation_chunks =
        part(recorder.annotations.chunk_directory(), kAnnotationChunks, sizeof(std::uint64_t));
    header.annotation_size = sizeof(asyncdump_annotation);
    header.counters = part(&recorder.counters, 1, sizeof(asyncdump_counters));
    fill_hook_table();
    header.hooks = part(hook_table, kHooks, sizeof(asyncdump_hook));
    header.adopt = reinterpret_cast<std::uint64_t>(&adopt);
    header.announce_patched = reinterpret_cast<std::uint64_t>(&announce_patched);
}

[[gnu::constructor]] void start() {
    need_real_functions();
    const Options options = parse_options(getenv("ASYNCDUMP_AGENT"));
    const NewOwner owner = find_owner_of_new();

    remember_code_ranges(owner == NewOwner::no_preload);
    recorder.free_block = real.free;
    recorder.delete_block = mode == Mode::direct
                                ? real.free
                                : reinterpret_cast<ReleaseFunction>(next_function(Form::delete_scalar));
    recorder.end_of_first_stack = reinterpret_cast<std::uintptr_t>(__libc_stack_end);
    recorder.stack_depth = options.stack_depth;
    recorder.clock = find_clock();
    if (options.malloc) record_malloc();

    asyncdump_registry_header& header = asyncdump_registry;
    describe_layout();
    header.process_id = current_process_id();
    header.stack_depth = options.stack_depth;
    header.started = recorder.now();
    header.annotation_functions = address_of(&annotation_functions);
    std::uint32_t flags = 0;
    if (owner == NewOwner::agent) flags |= ASYNCDUMP_FLAG_INTERPOSED;
    if (owner == NewOwner::executable) flags |= ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW;
    if (owner == NewOwner::earlier_library) flags |= ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW;
    if (!executable_imports_new()) flags |= ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW;
    if (mode == Mode::direct) flags |= ASYNCDUMP_FLAG_DIRECT;
    if (options.malloc) flags |= ASYNCDUMP_FLAG_MALLOC;
    header.flags = flags;
    pthread_atfork(nullptr, nullptr, &in_forked_child);
    store_release(header.state, owner == NewOwner::agent ? std::uint32_t{ASYNCDUMP_STATE_RECORDING}
                                                         : std::uint32_t{ASYNCDUMP_STATE_UNHOOKED});

    Dl_info self;
    if (!options.children && dladdr(&asyncdump_registry, &self) != 0 && self.dli_fname != nullptr)
        remove_from_preload(self.dli_fname);
}

}  // namespace
}  // namespace asyncdump::agent
