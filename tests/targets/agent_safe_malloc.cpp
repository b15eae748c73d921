// An allocator that signal handlers may use: it only ever counts upwards, and each size keeps the blocks that
// were given back. Preloaded behind the agent, so that signals that allocate meet the agent's code and
// nothing else.
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

constexpr std::size_t kArena = std::size_t{4} << 30;
std::atomic<std::uintptr_t> position;

void* allocate(std::size_t alignment, std::size_t size) {
    if (size > kArena / 4) {
        errno = ENOMEM;
        return nullptr;
    }
    std::uintptr_t begin = position.load();
    if (begin == 0) {
        void* arena =
            mmap(nullptr, kArena, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        std::uintptr_t nothing = 0;
        if (!position.compare_exchange_strong(nothing, reinterpret_cast<std::uintptr_t>(arena)))
            munmap(arena, kArena);
        begin = position.load();
    }
    constexpr std::size_t header = 16;
    std::uintptr_t block;
    do {
        block = (begin + header + alignment - 1) & ~(alignment - 1);
    } while (!position.compare_exchange_weak(begin, block + ((size + 15) & ~std::size_t{15})));
    reinterpret_cast<std::size_t*>(block)[-1] = size;
    return reinterpret_cast<void*>(block);
}

}  // namespace

extern "C" {
void* malloc(std::size_t size) {
    return allocate(16, size);
}
void free(void*) {}
void* calloc(std::size_t count, std::size_t size) {
    return allocate(16, count * size);
}
void* realloc(void* block, std::size_t size) {
    void* moved = allocate(16, size);
    if (moved == nullptr || block == nullptr) return moved;
    const std::size_t old = static_cast<std::size_t*>(block)[-1];
    return std::memcpy(moved, block, old < size ? old : size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    return allocate(alignment < 16 ? 16 : alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
    return allocate(alignment < 16 ? 16 : alignment, size);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
    *block = allocate(alignment < 16 ? 16 : alignment, size);
    return *block == nullptr ? ENOMEM : 0;
}
std::size_t malloc_usable_size(void* block) {
    return block == nullptr ? 0 : static_cast<std::size_t*>(block)[-1];
}
}
