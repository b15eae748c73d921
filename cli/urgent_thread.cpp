#include "cli/urgent_thread.h"

#include <sys/resource.h>

namespace asyncdump {

void lower_priority_of_this_thread() {
    constexpr int lowest = 19;
    // 0 is the calling thread; it can only fail where the priority is lower already.
    ::setpriority(PRIO_PROCESS, 0, lowest);
}

UrgentThread::UrgentThread()
    : thread_([work = work_.get_future()]() mutable {
          if (const auto function = work.get()) function();
      }) {}

UrgentThread::~UrgentThread() {
    if (!has_run_) work_.set_value({});
}

void UrgentThread::run(const std::function<void()>& work) {
    has_run_ = true;
    work_.set_value(work);
    thread_.join();
}

}  // namespace asyncdump
