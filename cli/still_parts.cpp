#include "cli/still_parts.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <thread>

#include "process/live_memory.h"
#include "process/memory_map.h"
#include "process/resident_pages.h"
#include "runtimes/cpp20/cpp20_runtime.h"
#include "runtimes/cpp20/frame_scan.h"

namespace asyncdump {
namespace {

/// Of one frame: holds the index of the suspend point and the promise of nearly every coroutine.
constexpr std::size_t looked_at_bytes = 256;
constexpr std::size_t most_frames = 4096;
/// What being stopped and let go costs a thread.
constexpr std::uint64_t cost_of_stop_ns = 2'000'000;

}  // namespace

struct StillParts::State {
    struct Part {
        std::uint64_t content = 0;
        Clock::time_point since;
    };
    State(const ProcessInfo& looked_at, MemoryMap read, LiveMemory opened)
        : process(looked_at),
          map(std::move(read)),
          live(std::move(opened)),
          modules(ModuleSet::of_process(process.pid, map, {})),
          runtime(modules, {{}, false, 1, {}}) {}

    ProcessInfo process;
    MemoryMap map;
    LiveMemory live;
    ModuleSet modules;
    cpp20::Cpp20Runtime runtime;
    std::unordered_map<pid_t, Part> threads;
    std::unordered_map<pid_t, std::uint64_t> run_times;
    std::unordered_map<std::uint64_t, Part> frames;
    Clock::time_point threads_still_since;
    bool after_stop = false;
};

StillParts::StillParts(std::unique_ptr<State> state) : state_(std::move(state)) {}
StillParts::StillParts(StillParts&&) noexcept = default;
StillParts& StillParts::operator=(StillParts&&) noexcept = default;
StillParts::~StillParts() = default;

Result<StillParts> StillParts::of(const ProcessInfo& process) {
    auto map = MemoryMap::read(process.pid);
    if (!map) return tl::unexpected(map.error());
    auto live = LiveMemory::open(process.pid);
    if (!live) return tl::unexpected(live.error());
    return StillParts(std::make_unique<State>(process, std::move(*map), std::move(*live)));
}

Result<void> StillParts::search(Clock::time_point now) {
    State& state = *state_;
    auto map = MemoryMap::read(state.process.pid);
    if (!map) return tl::unexpected(map.error());
    state.map = std::move(*map);
    const auto ranges = resident_parts(state.process.pid, cpp20::scannable_ranges(state.map));
    if (state.runtime.catalog().functions().empty()) return {};
    const auto found = cpp20::scan_for_frames(state.live, ranges, state.runtime.catalog(), 1);
    std::unordered_map<std::uint64_t, State::Part> frames;
    for (const RemoteAddress address : found.frames) {
        if (frames.size() >= most_frames) break;
        const auto known = state.frames.find(address.value());
        frames[address.value()] = known != state.frames.end() ? known->second : State::Part{0, now};
    }
    state.frames = std::move(frames);
    return {};
}

Result<void> StillParts::look(Clock::time_point now) {
    State& state = *state_;
    if (!is_same_process(state.process)) return failure(ErrorCode::process_gone, "the process has ended");
    const auto threads = read_threads(state.process.pid);
    if (!threads) return tl::unexpected(threads.error());
    std::unordered_map<pid_t, State::Part> seen;
    bool moved = threads->size() != state.threads.size();
    for (const ThreadInfo& thread : *threads) {
        const std::uint64_t content = thread.run_time_ns + thread.context_switches;
        const auto known = state.threads.find(thread.tid);
        const std::uint64_t ran = thread.run_time_ns - state.run_times[thread.tid];
        const bool still = known != state.threads.end() &&
                           (known->second.content == content || (state.after_stop && ran < cost_of_stop_ns));
        moved = moved || !still;
        seen[thread.tid] = {content, still ? known->second.since : now};
        state.run_times[thread.tid] = thread.run_time_ns;
    }
    state.threads = std::move(seen);
    state.after_stop = false;
    if (moved) state.threads_still_since = now;

    std::vector<std::array<std::byte, looked_at_bytes>> contents(state.frames.size());
    std::vector<CopyRequest> requests;
    std::vector<State::Part*> parts;
    for (auto& [address, part] : state.frames) {
        requests.push_back({RemoteAddress(address), contents[requests.size()], 0});
        parts.push_back(&part);
    }
    state.live.read_many(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        const std::string_view bytes(reinterpret_cast<const char*>(contents[i].data()), requests[i].copied);
        const std::uint64_t content = std::hash<std::string_view>{}(bytes);
        if (parts[i]->content == content) continue;
        *parts[i] = {content, now};
    }
    return {};
}

void StillParts::forget_the_stop() {
    state_->after_stop = true;
}

std::size_t StillParts::still_for(std::chrono::nanoseconds duration, Clock::time_point now) const {
    const auto is_still = [&](const auto& entry) { return now - entry.second.since >= duration; };
    return static_cast<std::size_t>(std::ranges::count_if(state_->threads, is_still) +
                                    std::ranges::count_if(state_->frames, is_still));
}

StillParts::Clock::time_point StillParts::all_threads_still_since() const {
    return state_->threads_still_since;
}

}  // namespace asyncdump
