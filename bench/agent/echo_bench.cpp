// Requests a second of a Boost.Asio echo server with and without the agent.
//
//   echo_bench AGENT.so [--slices N]
//
// Two servers run side by side, one with the agent. A client puts load on one and then on the other, in short
// slices, so that both see the same machine. Printed are the medians of the slices: requests a second, and
// the server's processor time for a request, which a busy machine disturbs less.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "echo_server.h"

int main(int argc, char** argv) {
    if (echo::is_server(argc, argv)) return echo::serve();
    if (argc < 2) {
        std::fprintf(stderr, "usage: echo_bench AGENT.so [--slices N]\n");
        return 64;
    }
    const int slices = argc == 4 ? std::atoi(argv[3]) : 40;
    std::printf(
        "| agent | requests a second | ratio | server us a request | ratio |\n|---|---|---|---|---|\n");
    for (const char* options : {"stack=0", "stack=8"}) {
        setenv("ASYNCDUMP_AGENT", options, 1);
        echo::Server base = echo::start("");
        echo::Server with_agent = echo::start(argv[1]);
        echo::load(base, 0.2);
        echo::load(with_agent, 0.2);
        base.requests_a_second.clear();
        base.microseconds_a_request.clear();
        with_agent.requests_a_second.clear();
        with_agent.microseconds_a_request.clear();
        std::vector<double> ratios;
        std::vector<double> processor_ratios;
        for (int i = 0; i < slices; ++i) {
            echo::load(i % 2 == 0 ? base : with_agent, 0.2);
            echo::load(i % 2 == 0 ? with_agent : base, 0.2);
            ratios.push_back(with_agent.requests_a_second.back() / base.requests_a_second.back());
            processor_ratios.push_back(with_agent.microseconds_a_request.back() /
                                       base.microseconds_a_request.back());
        }
        std::printf("| none | %.0f | | %.2f | |\n| %s | %.0f | %.3f | %.2f | %.3f |\n",
                    echo::median(base.requests_a_second), echo::median(base.microseconds_a_request), options,
                    echo::median(with_agent.requests_a_second), echo::median(ratios),
                    echo::median(with_agent.microseconds_a_request), echo::median(processor_ratios));
        std::fflush(stdout);
        echo::stop(base);
        echo::stop(with_agent);
    }
}
