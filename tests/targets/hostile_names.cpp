// Names that try to harm the terminal or the reader: the command line, a thread's name, identifiers beyond
// ASCII.
#include <cstdlib>

#include "async_primitives.h"
#include "truth.h"

namespace {

tasks::Event never;

tasks::Task größe_ändern(int größe) {
    co_await never;  // @umlauts
    co_return größe;
}

tasks::Task 接続を待つ(int 番号) {
    co_return co_await größe_ändern(番号);  // @japanese
}

void* rest(void*) {
    truth::block();
    return nullptr;
}

void start_thread(const char* name) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, rest, nullptr) != 0) std::abort();
    pthread_setname_np(thread, name);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 1) {
        char title[] = "hostile\x1b]0;owned\x07";
        char colour[] = "\x1b[31m\r\n\x9b[2J";
        char invalid[] = "\xff\xfe\xc3(";
        char* const hostile[] = {title, colour, invalid, nullptr};
        execv("/proc/self/exe", hostile);
        return 1;
    }
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "hostile");
    start_thread("\x1b[2J\x1b[1;31mred");
    start_thread("\xff\xfe(invalid\n\r");
    start_thread("\xe2\x80\xae[override]");
    static tasks::Task task = 接続を待つ(1);
    task.handle().resume();
    puts("chain 接続を待つ@japanese > größe_ändern@umlauts");
    puts("count 2");
    puts("edges 1");
    puts("threads 4");
    puts("thread hostile main");
    truth::ready();
    truth::block();
    (void)argv;
}
