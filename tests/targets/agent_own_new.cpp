// An executable with an operator new of its own: it wins over any preloaded one.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "agent/registry_layout.h"

#if defined(AGENT_TEST_OWN_NEW)
void* operator new(std::size_t size) {
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc();
}
void operator delete(void* block) noexcept {
    std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
    std::free(block);
}
#endif

int main() {
    const auto* header =
        static_cast<const asyncdump_registry_header*>(dlsym(RTLD_DEFAULT, "asyncdump_registry"));
    if (header == nullptr) return 1;
    std::string text(100, 'x');
    void* aligned = std::aligned_alloc(64, 128);
    std::free(aligned);
    std::printf("state %u flags %u\n", header->state, header->flags);
    return text.size() == 100 ? 0 : 1;
}
