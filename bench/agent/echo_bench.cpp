// Requests a second of a Boost.Asio echo server with and without the agent.
//
//   echo_bench AGENT.so [--pairs N]
//
// Two servers run side by side, one with the agent. A client puts load on one and then on the other, in short
// slices, so that both see the same machine. Two processes of the same program differ by some per cent,
// because their memory lies elsewhere: there are many pairs, and the first rows compare servers that are both
// without the agent. Printed are medians over the pairs: requests a second, and the server's processor time
// for a request, which a busy machine disturbs less.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "echo_server.h"

namespace {

constexpr double seconds_of_slice = 0.1;
constexpr int slices = 6;

struct Compared {
    std::vector<double> requests, requests_ratio, time, time_ratio;
};

void forget(echo::Server& server) {
    server.requests_a_second.clear();
    server.microseconds_a_request.clear();
}

void compare(const char* agent, bool agent_first, Compared& base_figures, Compared& figures) {
    // Which of the two starts first shall not count.
    echo::Server first = echo::start(agent_first ? agent : "");
    echo::Server second = echo::start(agent_first ? "" : agent);
    echo::Server& base = agent_first ? second : first;
    echo::Server& other = agent_first ? first : second;
    echo::load(base, seconds_of_slice);
    echo::load(other, seconds_of_slice);
    forget(base);
    forget(other);
    for (int i = 0; i < slices; ++i) {
        echo::load(i % 2 == 0 ? base : other, seconds_of_slice);
        echo::load(i % 2 == 0 ? other : base, seconds_of_slice);
    }
    base_figures.requests.push_back(echo::median(base.requests_a_second));
    base_figures.time.push_back(echo::median(base.microseconds_a_request));
    figures.requests.push_back(echo::median(other.requests_a_second));
    figures.time.push_back(echo::median(other.microseconds_a_request));
    figures.requests_ratio.push_back(figures.requests.back() / base_figures.requests.back());
    figures.time_ratio.push_back(figures.time.back() / base_figures.time.back());
    echo::stop(first);
    echo::stop(second);
}

}  // namespace

int main(int argc, char** argv) {
    if (echo::is_server(argc, argv)) return echo::serve();
    if (argc < 2) {
        std::fprintf(stderr, "usage: echo_bench AGENT.so [--pairs N]\n");
        return 64;
    }
    const int pairs = argc == 4 ? std::atoi(argv[3]) : 16;
    std::printf(
        "| agent | requests a second | ratio | server us a request | ratio |\n|---|---|---|---|---|\n");
    for (const char* options : {"none", "stack=0", "stack=8"}) {
        const bool is_control = options == std::string_view("none");
        setenv("ASYNCDUMP_AGENT", is_control ? "" : options, 1);
        Compared base, other;
        for (int i = 0; i < pairs; ++i) compare(is_control ? "" : argv[1], i % 2 != 0, base, other);
        std::printf("| none | %.0f | | %.2f | |\n| %s | %.0f | %.3f | %.2f | %.3f |\n",
                    echo::median(base.requests), echo::median(base.time), options,
                    echo::median(other.requests), echo::median(other.requests_ratio),
                    echo::median(other.time), echo::median(other.time_ratio));
        std::fflush(stdout);
    }
}
