// A shared object with coroutines of its own, loaded by plugin_host at run time.
#include "plugin.h"

#include "async_primitives.h"

namespace plugin {

tasks::Event never;

tasks::Task convert(int id) {
    co_await never;  // @convert
    co_return id;
}

class Filter {
  public:
    tasks::Task apply(int id) {
        co_return co_await convert(id);  // @apply
    }
};

}  // namespace plugin

extern "C" void start_plugin() {
    static plugin::Filter filter;
    static tasks::Task* const task = new tasks::Task(filter.apply(1));
    task->handle().resume();
}
