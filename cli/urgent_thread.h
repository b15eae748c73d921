#pragma once

#include <functional>
#include <future>
#include <thread>

namespace asyncdump {

/// Lowers the calling thread's priority as far as it goes, and that of all threads that it makes from now on
/// (a nice value belongs to a thread on Linux).
void lower_priority_of_this_thread();

/// A thread that keeps the priority with which it was made: what has to be done while the target is stopped
/// must not wait for its turn behind everybody else.
class UrgentThread {
  public:
    UrgentThread();
    ~UrgentThread();  ///< without run(): ends it

    /// Runs `work` on the thread and waits for its end. Once.
    void run(const std::function<void()>& work);

  private:
    std::promise<std::function<void()>> work_;
    bool has_run_ = false;
    std::jthread thread_;
};

}  // namespace asyncdump
