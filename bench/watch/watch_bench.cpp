// Requests a second of a busy Boost.Asio echo server with and without `asyncdump watch --interval 1s`.
//
//   watch_bench ASYNCDUMP [--pairs N]
//
// One server, one client that keeps it busy all the time. Intervals with a watch and without one follow each
// other, in changing order, so that both see the same machine. What the watch does when it starts (it reads
// the server's symbols) is not counted: the first seconds of each of its intervals are thrown away, as they
// are without it. Printed are medians, and the ratio's as the median over the pairs.
#include <fcntl.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "echo_server.h"

namespace {

constexpr double seconds_of_start = 2, seconds_of_interval = 4;

struct Measured {
    double requests_a_second = 0, microseconds_a_request = 0;
};

pid_t start_watch(const char* tool, pid_t server) {
    const pid_t watch = fork();
    if (watch != 0) return watch;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int nowhere = open("/dev/null", O_RDWR);
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    execl(tool, tool, "watch", std::to_string(server).c_str(), "--interval", "1s", nullptr);
    _exit(127);
}

Measured measure(echo::Server& server, const char* tool) {
    const pid_t watch = tool == nullptr ? -1 : start_watch(tool, server.process);
    echo::load(server, seconds_of_start);
    echo::load(server, seconds_of_interval);
    if (watch > 0) {
        // One that has ended by itself has measured nothing, and has already told why.
        if (waitpid(watch, nullptr, WNOHANG) != 0) std::exit(1);
        kill(watch, SIGTERM);
        waitpid(watch, nullptr, 0);
    }
    return {server.requests_a_second.back(), server.microseconds_a_request.back()};
}

double median_of(const std::vector<Measured>& all, double Measured::*figure) {
    std::vector<double> values;
    for (const Measured& one : all) values.push_back(one.*figure);
    return echo::median(values);
}

}  // namespace

int main(int argc, char** argv) {
    if (echo::is_server(argc, argv)) return echo::serve();
    if (argc != 2 && (argc != 4 || std::strcmp(argv[2], "--pairs") != 0)) {
        std::fprintf(stderr, "usage: watch_bench ASYNCDUMP [--pairs N]\n");
        return 64;
    }
    const int pairs = argc == 4 ? std::atoi(argv[3]) : 15;
    echo::Server server = echo::start("");
    std::vector<Measured> without, with;
    std::vector<double> ratios, processor_ratios;
    for (int i = 0; i < pairs; ++i) {
        if (i % 2 == 0) without.push_back(measure(server, nullptr));
        with.push_back(measure(server, argv[1]));
        if (i % 2 != 0) without.push_back(measure(server, nullptr));
        ratios.push_back(with.back().requests_a_second / without.back().requests_a_second);
        processor_ratios.push_back(with.back().microseconds_a_request /
                                   without.back().microseconds_a_request);
    }
    std::printf(
        "| watch | requests a second | ratio | server us a request | ratio |\n|---|---|---|---|---|\n");
    std::printf("| none | %.0f | | %.2f | |\n| --interval 1s | %.0f | %.3f | %.2f | %.3f |\n",
                median_of(without, &Measured::requests_a_second),
                median_of(without, &Measured::microseconds_a_request),
                median_of(with, &Measured::requests_a_second), echo::median(ratios),
                median_of(with, &Measured::microseconds_a_request), echo::median(processor_ratios));
    echo::stop(server);
    return 0;
}
