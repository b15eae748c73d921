// suspend_corpus_check PROGRAM FRAMES: asks SuspendPointResolver for each frame that
// tests/targets/suspend_corpus.cpp printed into FRAMES and compares with the truth beside it, with and
// without the source text. Prints what is not right, then one line a mode:
//   summary with-text frames=761 exact=755 near=6 wrong=0 none=0 kind=0 resolutions=620 first_us=180
//   further_us=12 repeated_us=0.1
// A suspend point counts once a (function, line, index). Exits with 1 when the files cannot be read.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "runtimes/cpp20/coroutine_catalog.h"
#include "runtimes/cpp20/suspend_point.h"

using namespace asyncdump;
using namespace asyncdump::cpp20;

namespace {

struct TrueFrame {
    std::string name, kind;
    std::uint32_t line = 0;
    std::vector<std::byte> bytes;
};

struct Corpus {
    std::uint64_t bias = 0;
    std::vector<TrueFrame> frames;
};

Corpus read_corpus(const char* path) {
    Corpus corpus;
    std::ifstream input(path);
    std::string line;
    while (std::getline(input, line)) {
        std::istringstream words(line);
        std::string tag, address, hex;
        words >> tag;
        if (tag == "bias") words >> std::hex >> corpus.bias;
        if (tag != "frame") continue;
        TrueFrame frame;
        words >> frame.name >> address >> frame.line >> frame.kind >> hex;
        for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
            frame.bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
        }
        if (frame.bytes.size() >= 16) corpus.frames.push_back(std::move(frame));
    }
    return corpus;
}

std::string_view kind_name(SuspendPoint::Kind kind) {
    switch (kind) {
        case SuspendPoint::Kind::initial:
            return "initial";
        case SuspendPoint::Kind::await:
            return "await";
        case SuspendPoint::Kind::yield:
            return "yield";
        case SuspendPoint::Kind::final:
            return "final";
        case SuspendPoint::Kind::unknown:
            return "unknown";
    }
    return "unknown";
}

std::uint64_t word(const TrueFrame& frame, std::size_t offset) {
    std::uint64_t value = 0;
    std::memcpy(&value, frame.bytes.data() + offset, sizeof value);
    return value;
}

double processor_microseconds() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

void check(const ModuleSet& modules, const CoroutineCatalog& catalog, const Corpus& corpus,
           bool use_source_text) {
    SuspendPointResolver resolver(modules, {.use_source_text = use_source_text});
    // The index of the module's functions is built once for everybody: it is not the resolver's cost.
    for (const CoroutineCode& code : catalog.functions()) code.module->subprogram_at(code.resume.begin);
    std::set<std::string> counted;
    std::set<std::uint32_t> functions;
    int exact = 0, near = 0, wrong = 0, none = 0, kind_errors = 0;
    double first = 0, further = 0, repeated = 0;
    std::size_t firsts = 0, furthers = 0, repeats = 0;
    for (const TrueFrame& frame : corpus.frames) {
        const auto identity = catalog.identify(RemoteAddress(word(frame, 0)), RemoteAddress(word(frame, 8)));
        if (!identity) {
            fmt::print("unidentified {} line {}\n", frame.name, frame.line);
            ++none;
            continue;
        }
        const CoroutineCode& code = catalog.functions()[identity->function];
        const bool is_first = functions.insert(identity->function).second;
        const std::size_t before = resolver.resolutions();
        const double begin = processor_microseconds();
        const SuspendPoint& point = resolver.resolve(code, frame.bytes);
        const double spent = processor_microseconds() - begin;
        if (is_first) {
            first += spent;
            ++firsts;
        } else if (resolver.resolutions() != before) {
            further += spent;
            ++furthers;
        } else {
            repeated += spent;
            ++repeats;
        }

        const auto field = resolver.index_field(code);
        std::string key = fmt::format("{} {} {}", identity->function, frame.line, frame.kind);
        if (field && frame.kind != "final" && field->offset < frame.bytes.size()) {
            key += fmt::format(" {}", std::to_integer<int>(frame.bytes[field->offset]));
        }
        if (!counted.insert(key).second) continue;

        const bool has_line = frame.kind == "await" || frame.kind == "yield";
        const bool kind_is_right = kind_name(point.kind) == frame.kind;
        if (!kind_is_right) ++kind_errors;
        std::string verdict;
        if (!has_line) {
            if (kind_is_right && !point.location) {
                ++exact;
            } else if (point.location && point.location->exact) {
                ++wrong;
                verdict = "WRONG";
            } else {
                ++none;
                verdict = "none";
            }
        } else if (!point.location) {
            ++none;
            verdict = "none";
        } else if (!point.location->exact) {
            ++near;
            verdict = "near";
        } else if (point.location->line == frame.line) {
            ++exact;
        } else {
            ++wrong;
            verdict = "WRONG";
        }
        if (verdict.empty() && !kind_is_right) verdict = "kind";
        if (!verdict.empty()) {
            fmt::print("{} {} {}: truth {} {}, answer {} {} (resumes at {}) by {}, awaiter {}\n",
                       use_source_text ? "with-text" : "without-text", verdict, frame.name, frame.kind,
                       frame.line, kind_name(point.kind), point.location ? point.location->line : 0,
                       point.location ? point.location->resumes_at_line : 0, point.evidence,
                       point.awaiter_type);
        }
    }
    const auto mean = [](double sum, std::size_t count) {
        return count == 0 ? 0.0 : sum / static_cast<double>(count);
    };
    fmt::print(
        "summary {} frames={} exact={} near={} wrong={} none={} kind={} resolutions={} first_us={:.0f} "
        "further_us={:.0f} repeated_us={:.1f}\n",
        use_source_text ? "with-text" : "without-text", counted.size(), exact, near, wrong, none, kind_errors,
        resolver.resolutions(), mean(first, firsts), mean(further, furthers), mean(repeated, repeats));

    // Every frame again, a hundred times: nothing may be computed again.
    const std::size_t computed = resolver.resolutions();
    for (int round = 0; round < 100; ++round) {
        for (const TrueFrame& frame : corpus.frames) {
            const auto identity =
                catalog.identify(RemoteAddress(word(frame, 0)), RemoteAddress(word(frame, 8)));
            if (identity) resolver.resolve(catalog.functions()[identity->function], frame.bytes);
        }
    }
    if (resolver.resolutions() != computed) fmt::print("WRONG: answers were computed again\n");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 1;
    const Corpus corpus = read_corpus(argv[2]);
    const auto modules = ModuleSet::of_file(argv[1], corpus.bias, {});
    if (!modules || corpus.frames.empty()) {
        fmt::print(stderr, "cannot read {} or {}\n", argv[1], argv[2]);
        return 1;
    }
    const CoroutineCatalog catalog(*modules);
    check(*modules, catalog, corpus, true);
    check(*modules, catalog, corpus, false);
}
