// Requests a second of a busy Boost.Asio echo server with and without `asyncdump watch --interval 1s`.
//
//   watch_bench ASYNCDUMP [--pairs N]
//
// One server, one client that keeps it busy all the time, one watch. Intervals in which the watch runs and in
// which it is stopped (SIGSTOP) follow each other, in changing order, so that both see the same machine and
// the same processes. What the watch does when it starts (it reads the server's symbols) is not counted.
// Printed are medians, the ratios' as the median over the pairs with the quartiles, and the processor time
// that the watch itself takes.
#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "echo_server.h"

namespace {

constexpr double seconds_of_start = 3, seconds_of_interval = 2;

pid_t start_watch(const char* tool, pid_t server) {
    const pid_t watch = fork();
    if (watch != 0) return watch;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    // Longer than the bench: only the looks count, and no dump is made meanwhile.
    execl(tool, tool, "watch", std::to_string(server).c_str(), "--interval", "1s", "--stuck-after", "1h",
          nullptr);
    _exit(127);
}

class Bench {
  public:
    explicit Bench(const char* tool) : server_(echo::start("")), watch_(start_watch(tool, server_.process)) {
        clock_getcpuclockid(watch_, &watch_clock_);
        echo::load(server_, seconds_of_start);
    }
    Bench(const Bench&) = delete;
    Bench& operator=(const Bench&) = delete;
    ~Bench() {
        kill(watch_, SIGKILL);
        waitpid(watch_, nullptr, 0);
        echo::stop(server_);
    }

    void measure_pair(bool watch_first) {
        if (watch_first) measure(with_, SIGCONT);
        measure(without_, SIGSTOP);
        if (!watch_first) measure(with_, SIGCONT);
        ratios_.push_back(with_.requests.back() / without_.requests.back());
        time_ratios_.push_back(with_.time.back() / without_.time.back());
    }

    void print() {
        std::printf(
            "| watch | requests a second | ratio | server us a request | ratio | watch itself |\n"
            "|---|---|---|---|---|---|\n");
        std::printf("| none | %.0f | | %.2f | | |\n", echo::median(without_.requests),
                    echo::median(without_.time));
        std::printf("| --interval 1s | %.0f | %s | %.2f | %s | %.2f ms a second |\n",
                    echo::median(with_.requests), with_quartiles(ratios_).c_str(), echo::median(with_.time),
                    with_quartiles(time_ratios_).c_str(), echo::median(with_.watch_milliseconds));
    }

  private:
    struct Measured {
        std::vector<double> requests, time, watch_milliseconds;
    };

    void measure(Measured& measured, int signal) {
        // One that has ended by itself measures nothing, and has already told why.
        if (waitpid(watch_, nullptr, WNOHANG) != 0) std::exit(1);
        kill(watch_, signal);
        const double before = echo::seconds(watch_clock_);
        echo::load(server_, seconds_of_interval);
        measured.watch_milliseconds.push_back((echo::seconds(watch_clock_) - before) * 1e3 /
                                              seconds_of_interval);
        measured.requests.push_back(server_.requests_a_second.back());
        measured.time.push_back(server_.microseconds_a_request.back());
    }

    static std::string with_quartiles(std::vector<double> values) {
        std::sort(values.begin(), values.end());
        char text[64];
        std::snprintf(text, sizeof text, "%.3f (%.3f to %.3f)", values[values.size() / 2],
                      values[values.size() / 4], values[values.size() * 3 / 4]);
        return text;
    }

    echo::Server server_;
    pid_t watch_;
    clockid_t watch_clock_ = 0;
    Measured without_, with_;
    std::vector<double> ratios_, time_ratios_;
};

}  // namespace

int main(int argc, char** argv) {
    if (echo::is_server(argc, argv)) return echo::serve();
    if (argc != 2 && (argc != 4 || std::strcmp(argv[2], "--pairs") != 0)) {
        std::fprintf(stderr, "usage: watch_bench ASYNCDUMP [--pairs N]\n");
        return 64;
    }
    const int pairs = argc == 4 ? std::atoi(argv[3]) : 40;
    Bench bench(argv[1]);
    for (int i = 0; i < pairs; ++i) bench.measure_pair(i % 2 == 0);
    bench.print();
    return 0;
}
