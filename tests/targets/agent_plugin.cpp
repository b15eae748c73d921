// A plugin with coroutines of its own.
#include "agent_task.h"

namespace {

Task of_plugin(int value) {
    co_await std::suspend_always{};
    if (value == 4711) std::abort();
}

}  // namespace

extern "C" void* agent_plugin_create() {
    return of_plugin(1).release();
}
extern "C" void agent_plugin_destroy(void* frame) {
    destroy_frame(frame);
}
