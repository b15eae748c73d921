// QCoro on a QCoreApplication: tasks that await timers, signals and each other.
#include <QCoreApplication>
#include <QCoroAsyncGenerator>
#include <QCoroSignal>
#include <QCoroTask>
#include <QCoroTimer>
#include <QTimer>

#include "truth.h"

namespace {

QCoro::Task<int> wait_for_timer(int id) {
    QTimer timer;
    timer.start(std::chrono::hours(1));
    co_await timer;  // @wait_for_timer
    co_return id;
}

QCoro::Task<int> load(int id) {
    const int result = co_await wait_for_timer(id);  // @load
    co_return result + 1;
}

QCoro::Task<> show(int id) {
    const int result = co_await load(id);  // @show
    qInfo("%d", result);
}

QCoro::Task<> wait_for_signal(QTimer* timer) {
    co_await qCoro(timer, &QTimer::timeout);  // @wait_for_signal
}

QCoro::Task<int> user_of(QCoro::Task<int>& shared) {
    const int result = co_await shared;  // @user_of
    co_return result;
}

class Window {
  public:
    QCoro::Task<> refresh() {
        auto task = load(9);
        co_await task;  // @refresh
    }
};

}  // namespace

int main(int argc, char** argv) {
    TRUTH_BEGIN();
    pthread_setname_np(pthread_self(), "qcoro");
    QCoreApplication application(argc, argv);

    auto first = show(1);
    auto second = show(2);
    QTimer later;
    later.start(std::chrono::hours(2));
    auto on_signal = wait_for_signal(&later);
    auto shared = wait_for_timer(3);
    auto user_1 = user_of(shared);
    auto user_2 = user_of(shared);
    Window window;
    auto refreshing = window.refresh();

    puts("chains 2 show@show > load@load > wait_for_timer@wait_for_timer");
    puts("chain wait_for_signal@wait_for_signal");
    puts("chains 2 user_of@user_of > wait_for_timer@wait_for_timer");
    puts("chain Window::refresh@refresh > load@load > wait_for_timer@wait_for_timer");
    puts("count 13");
    puts("edges 8");
    puts("thread qcoro QCoreApplication::exec");
    QTimer::singleShot(0, [] { truth::ready(); });
    return QCoreApplication::exec();
}
