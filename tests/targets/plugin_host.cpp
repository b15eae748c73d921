// An executable with a coroutine of its own that loads a plugin with others: `plugin_host PLUGIN
// SOURCE-OF-THE-PLUGIN`, or none. The same program serves to be linked in every way there is: PIE or not,
// static, stripped, deleted.
#include <dlfcn.h>

#include "async_primitives.h"
#include "plugin.h"
#include "truth.h"

namespace {

tasks::Event never;

tasks::Task wait_in_host(int id) {
    co_await never;  // @wait_in_host
    co_return id;
}

tasks::Task host(int id) {
    co_return co_await wait_in_host(id);  // @host
}

#ifndef WITHOUT_PLUGINS
bool load_plugin(const char* file, const char* source) {
    void* const library = dlopen(file, RTLD_NOW);
    if (library == nullptr) {
        fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    reinterpret_cast<StartPlugin>(dlsym(library, "start_plugin"))();
    printf("source %s\n", source);
    return true;
}
#endif

}  // namespace

int main(int argc, char** argv) {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "host");
    static tasks::Task task = host(1);
    task.handle().resume();
    puts("chain host@host > wait_in_host@wait_in_host");
#ifndef WITHOUT_PLUGINS
    if (argc == 3) {
        if (!load_plugin(argv[1], argv[2])) return 1;
        puts("chain plugin::Filter::apply@apply > plugin::convert@convert");
        puts("count 4");
        puts("edges 2");
    }
#endif
    if (argc == 1) {
        puts("count 2");
        puts("edges 1");
    }
    puts("threads 1");
    puts("thread host tasks::RunLoop::run");
    truth::ready();
    tasks::loop.run();
    (void)argv;
}
