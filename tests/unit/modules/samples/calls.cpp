// Tells the truth about its own code on standard output, then blocks in a known stack of calls until standard
// input ends.
//
//   address NAME ADDRESS             where a symbol is
//   inlined RETURN-ADDRESS L0 L1 L2  the lines of a call in inlined_innermost, inlined_middle and
//   calls_inlined frame NAME LINE                  a function of the stack and the line at which it calls the
//   next, innermost first ready
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <functional>
#include <string>

#define NOT_INLINED __attribute__((noinline))
#define INLINED inline __attribute__((always_inline))
// A call behind which something is left to do is no tail call.
#define KEEP_FRAME asm volatile("" ::: "memory")

extern "C" {
int a_global_object = 7;
}

namespace app {

NOT_INLINED void print_inlined(int innermost, int middle, int outer) {
    printf("inlined %p %d %d %d\n", __builtin_return_address(0), innermost, middle, outer);
    KEEP_FRAME;
}

static INLINED void inlined_innermost(int middle, int outer) {
    print_inlined(__LINE__, middle, outer);
    KEEP_FRAME;
}
static INLINED void inlined_middle(int outer) {
    inlined_innermost(__LINE__, outer);
    KEEP_FRAME;
}
NOT_INLINED void calls_inlined() {
    inlined_middle(__LINE__);
    KEEP_FRAME;
}

bool in_signal_handler = false;

NOT_INLINED void block() {
    char byte;
    puts("ready");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
    }
    KEEP_FRAME;
}

}  // namespace app

extern "C" NOT_INLINED void on_signal(int) {
    app::block();
    KEEP_FRAME;
}

extern "C" NOT_INLINED void innermost_call() {
    printf("frame innermost_call %d\n", app::in_signal_handler ? __LINE__ + 2 : __LINE__ + 4);
    if (app::in_signal_handler)
        raise(SIGUSR1);
    else
        app::block();
    KEEP_FRAME;
}

// Keeps known values in registers that a function preserves; described by call frame information.
extern "C" void holds_registers();
asm(R"(
    .text
    .globl holds_registers
    .type holds_registers, @function
holds_registers:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset 3, -16
    pushq %r12
    .cfi_def_cfa_offset 24
    .cfi_offset 12, -24
    pushq %r15
    .cfi_def_cfa_offset 32
    .cfi_offset 15, -32
    movabsq $0x1111222233334444, %rbx
    movabsq $0x5555666677778888, %r12
    movabsq $0x7777888899990000, %r15
    call innermost_call
    popq %r15
    .cfi_def_cfa_offset 24
    popq %r12
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size holds_registers, .-holds_registers

    .globl has_no_unwinding_information
    .type has_no_unwinding_information, @function
has_no_unwinding_information:
    pushq %rbp
    movq %rsp, %rbp
    subq $32, %rsp
    call holds_registers
    leave
    ret
    .size has_no_unwinding_information, .-has_no_unwinding_information
)");
extern "C" void has_no_unwinding_information();

namespace app {

template <class T>
struct Server {
    NOT_INLINED static void run(const std::string& text, const std::function<void(T)>& work) {
        printf("frame run %d\n", __LINE__ + 1);
        work(static_cast<T>(text.size()));
        KEEP_FRAME;
    }
};

static NOT_INLINED void start() {
    const auto work = [](int) __attribute__((noinline)) {
        printf("frame lambda %d\n", __LINE__ + 1);
        has_no_unwinding_information();
        KEEP_FRAME;
    };
    printf("frame start %d\n", __LINE__ + 1);
    Server<int>::run("text", work);
    KEEP_FRAME;
}

}  // namespace app

int main(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static char other_stack[64 * 1024];
    if (argc > 1 && strcmp(argv[1], "signal") == 0) {
        app::in_signal_handler = true;
        stack_t stack{};
        stack.ss_sp = other_stack;
        stack.ss_size = sizeof other_stack;
        sigaltstack(&stack, nullptr);
        struct sigaction action {};
        action.sa_handler = on_signal;
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGUSR1, &action, nullptr);
    }
    printf("address main %p\n", reinterpret_cast<void*>(main));
    printf("address a_global_object %p\n", static_cast<void*>(&a_global_object));
    app::calls_inlined();
    printf("frame main %d\n", __LINE__ + 1);
    app::start();
    KEEP_FRAME;
}
