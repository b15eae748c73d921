/* A 32-bit process without any library: it waits until it is killed. */
__attribute__((force_align_arg_pointer)) void _start(void) {
    for (;;) {
        int result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(29 /* pause */) : "memory");
    }
}
