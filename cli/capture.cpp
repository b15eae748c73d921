#include "cli/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "base/sort_runs.h"
#include "cli/recording_memory.h"
#include "cli/registered_frames.h"
#include "process/ended_threads.h"
#include "process/live_memory.h"
#include "process/resident_pages.h"
#include "runtimes/cpp20/frame_allocation.h"
#include "runtimes/cpp20/frame_scan.h"
#include "runtimes/native/thread_wait.h"

namespace asyncdump {
namespace {

/// Up to this much memory is copied whole during the stop: at several GB/s that is well below a millisecond.
constexpr std::uint64_t whole_copy_limit = 2 << 20;
/// Of one stack, from the stack pointer upwards.
constexpr std::uint64_t largest_stack_copy = 8 << 20;
/// The ABI lets a function use this much below its stack pointer.
constexpr std::uint64_t red_zone = 128;
/// Holds both pointers, the index and the handle to itself of nearly every frame.
constexpr std::uint64_t frame_beginning = 256;
constexpr int young_rounds = 3;
constexpr std::size_t most_young_pointers = 32 * 1024;
/// For values of stack frames: of each stack so much is searched for pointers, and of so many objects that
/// they lead to, directly and over one more pointer, the beginnings are copied. A quarter of a millisecond
/// for each thousand.
constexpr std::uint64_t searched_stack = 64 * 1024;
constexpr std::size_t most_objects_around_stacks = 2048;
constexpr std::uint64_t object_beginning = 256;
constexpr int rounds_around_stacks = 2;

std::uint64_t total_size(std::span<const AddressRange> ranges) {
    std::uint64_t total = 0;
    for (const AddressRange& range : ranges) total += range.size();
    return total;
}

std::uint64_t total_run_time(const std::vector<ThreadInfo>& threads) {
    std::uint64_t total = threads.size();
    for (const ThreadInfo& thread : threads) total += thread.run_time_ns + thread.context_switches;
    return total;
}

/// A mapping that is a thread's stack as a whole: the main thread's, or one with a guard below it, as the C
/// library makes them. A stack inside a larger mapping (a fibre's) is not: what lies below its stack pointer
/// may be heap.
bool is_stack_mapping(const MemoryMap& map, const Mapping& mapping) {
    return mapping.path == "[stack]" || (!mapping.is_file() && map.has_guard_below(mapping));
}

struct Stacks {
    std::vector<AddressRange> live_parts;  ///< from each thread's stack pointer upwards
    /// Below, in mappings that are stacks as a whole, and the stacks that ended threads have left.
    std::vector<AddressRange> dead_parts;
    std::vector<AddressRange> mappings;
};

Stacks find_stacks(const MemoryMap& map, const Memory& memory, const std::vector<StoppedThread>& threads) {
    Stacks stacks;
    for (const StoppedThread& thread : threads) {
        const RemoteAddress top = thread.registers.stack_pointer() - red_zone;
        const Mapping* mapping = map.find(thread.registers.stack_pointer());
        if (mapping == nullptr || !mapping->readable) continue;
        const RemoteAddress begin = std::max(top, mapping->range.begin);
        stacks.live_parts.push_back({begin, std::min(mapping->range.end, begin + largest_stack_copy)});
        if (!is_stack_mapping(map, *mapping)) continue;
        stacks.mappings.push_back(mapping->range);
        stacks.dead_parts.push_back({mapping->range.begin, begin});
    }
    for (const AddressRange& stack : stacks_of_ended_threads(memory, map)) {
        stacks.mappings.push_back(stack);
        stacks.dead_parts.push_back(stack);
    }
    std::ranges::sort(stacks.dead_parts);
    std::ranges::sort(stacks.mappings);
    return stacks;
}

/// `ranges` without `holes`; both sorted.
std::vector<AddressRange> subtract(std::span<const AddressRange> ranges,
                                   std::span<const AddressRange> holes) {
    std::vector<AddressRange> left;
    std::size_t hole = 0;
    for (AddressRange range : ranges) {
        while (hole < holes.size() && holes[hole].end <= range.begin) ++hole;
        for (std::size_t i = hole; i < holes.size() && holes[i].begin < range.end; ++i) {
            if (holes[i].begin > range.begin) left.push_back({range.begin, holes[i].begin});
            range.begin = std::max(range.begin, holes[i].end);
        }
        if (range.begin < range.end) left.push_back(range);
    }
    return left;
}

class Capturer {
  public:
    Capturer(const ProcessInfo& process, const MemoryMap& map, const LiveMemory& live,
             cpp20::Cpp20Runtime& runtime, const CaptureOptions& options)
        : live_(live), runtime_(runtime), options_(options), scannable_(cpp20::scannable_ranges(map)) {
        snapshot_.process = process;
        snapshot_.map = map;
    }

    Result<Snapshot> run() {
        snapshot_.scanned = options_.scan || !registry_suffices();
        resident_ = resident_parts(snapshot_.process.pid, scannable_);
        const bool has_coroutines = !runtime_.catalog().functions().empty();
        snapshot_.whole = has_coroutines && (options_.exact || total_size(resident_) <= whole_copy_limit);
        if (has_coroutines && !snapshot_.whole) {
            if (auto planned = plan(); !planned) return tl::unexpected(planned.error());
        }
        Result<void> stopped;
        if (options_.urgent != nullptr)
            options_.urgent->run([&] { stopped = stop_and_copy(); });
        else
            stopped = stop_and_copy();
        if (!stopped) return tl::unexpected(stopped.error());
        if (has_coroutines) examine();
        snapshot_.resident = std::move(resident_);
        return std::move(snapshot_);
    }

  private:
    bool registry_suffices() const {
        return options_.registry != nullptr && options_.registry->why_incomplete(live_).empty() &&
               !cpp20::may_allocate_unseen(runtime_.catalog());
    }

    Result<void> plan() {
        auto threads = read_threads(snapshot_.process.pid);
        if (!threads) return tl::unexpected(threads.error());
        run_time_before_scan_ = total_run_time(*threads);
        cpp20::ScanResult found;
        if (snapshot_.scanned) found = scan(live_, resident_);
        planned_scan_ = found.frames;
        if (options_.registry != nullptr) {
            snapshot_.blocks = options_.registry->blocks(live_);
            const LookedInside blocks(snapshot_.blocks, scannable_);
            add(found.frames, blocks.only_inside(scan(live_, blocks.coarse_ranges(resident_)).frames));
        }
        {
            // The beginnings of all candidates in few system calls: examining looks at each several times.
            std::vector<AddressRange> beginnings;
            beginnings.reserve(found.frames.size());
            for (const RemoteAddress frame : found.frames) {
                beginnings.push_back({frame, frame + frame_beginning});
            }
            CopiedMemory copied;
            copied.copy_from(live_, std::move(beginnings));
            const RecordingMemory near(copied, live_);
            planned_frames_ = cpp20::examine_frames(near, snapshot_.map, runtime_.catalog(),
                                                    runtime_.layouts(), found.frames, registered_ranges());
        }
        CopiedMemory held;
        held.copy_from(live_, cpp20::ranges_of(planned_frames_));
        RecordingMemory recording(held, live_);
        runtime_.observe(recording, planned_frames_,
                         {snapshot_.map, {}, {}, nullptr, {}, {}, {}, {}, {}, {}});
        if (options_.registry != nullptr) read_annotations(recording);
        planned_reads_ = recording.take_recorded();
        const auto headers = cpp20::block_headers_of(planned_frames_);
        planned_reads_.insert(planned_reads_.end(), headers.begin(), headers.end());
        return {};
    }

    cpp20::ScanResult scan(const Memory& memory, const std::vector<AddressRange>& ranges) {
        auto found = cpp20::scan_for_frames(memory, ranges, runtime_.catalog(), options_.workers);
        snapshot_.bytes_scanned += found.bytes;
        return found;
    }

    static void add(std::vector<RemoteAddress>& addresses, std::span<const RemoteAddress> more) {
        addresses.insert(addresses.end(), more.begin(), more.end());
        sort_runs(addresses);
        const auto [first, last] = std::ranges::unique(addresses);
        addresses.erase(first, last);
    }

    std::vector<AddressRange> registered_ranges() const {
        std::vector<AddressRange> ranges;
        ranges.reserve(snapshot_.blocks.size());
        for (const RegisteredBlock& block : snapshot_.blocks) ranges.push_back(block.range());
        return ranges;
    }

    /// Only for what it reads.
    void read_annotations(const Memory& memory) const {
        for (const RegisteredBlock& block : snapshot_.blocks)
            if (block.annotation != 0) options_.registry->annotations(memory, block);
    }

    /// Their file does not tell what the loader has written into them.
    void add_relocated_constants(std::vector<AddressRange>& ranges) const {
        constexpr std::uint64_t most_bytes = 1 << 20;
        std::vector<AddressRange> relocated;
        for (const Mapping& mapping : snapshot_.map.mappings()) {
            if (snapshot_.map.is_relocated(mapping)) relocated.push_back(mapping.range);
        }
        relocated = resident_parts(snapshot_.process.pid, relocated);
        if (total_size(relocated) <= most_bytes)
            ranges.insert(ranges.end(), relocated.begin(), relocated.end());
    }

    Result<void> stop_and_copy() {
        auto threads = read_threads(snapshot_.process.pid);
        if (!threads) return tl::unexpected(threads.error());
        snapshot_.threads = std::move(*threads);
        ran_since_scan_ = !snapshot_.whole && total_run_time(snapshot_.threads) != run_time_before_scan_;
        {
            std::vector<AddressRange> ranges =
                snapshot_.whole ? resident_ : cpp20::ranges_of(planned_frames_);
            if (snapshot_.whole) add_relocated_constants(ranges);
            ranges.insert(ranges.end(), planned_reads_.begin(), planned_reads_.end());
            keep_to_memory_bound(ranges);
            snapshot_.memory.prepare(std::move(ranges));
        }

        snapshot_.at = std::chrono::system_clock::now();
        snapshot_.monotonic = std::chrono::steady_clock::now().time_since_epoch();
        const auto begin = std::chrono::steady_clock::now();
        StoppedProcess::Options stop_options;
        if (options_.most_pause.count() != 0)
            stop_options.attach_timeout = std::min(stop_options.attach_timeout, options_.most_pause);
        auto stopped = StoppedProcess::stop(snapshot_.process.pid, stop_options);
        if (!stopped) return tl::unexpected(stopped.error());
        snapshot_.stopped = stopped->threads();
        // Frames first, then stacks; the rest of the bound is for letting the threads go.
        if (options_.most_pause.count() != 0)
            snapshot_.memory.set_deadline(begin + std::chrono::microseconds(options_.most_pause) * 6 / 10);
        stacks_ = find_stacks(snapshot_.map, live_, snapshot_.stopped);
        snapshot_.bytes_copied += snapshot_.memory.copy_prepared(live_);
        if (options_.most_pause.count() != 0)
            snapshot_.memory.set_deadline(begin + std::chrono::microseconds(options_.most_pause) * 8 / 10);
        std::vector<AddressRange> ranges = stacks_.live_parts;
        for (const StoppedThread& thread : snapshot_.stopped) {
            for (const AddressRange& range : memory_of_wait(thread.registers)) ranges.push_back(range);
        }
        snapshot_.bytes_copied += snapshot_.memory.copy_from(live_, std::move(ranges));
        if (ran_since_scan_ && !runtime_.catalog().functions().empty()) {
            if (options_.registry != nullptr) copy_changed_blocks();
            if (snapshot_.scanned) find_young_frames();
        }
        if (options_.around_stacks && !snapshot_.whole) copy_around_stacks();
        snapshot_.pause = stopped->resume();

        if (const std::uint64_t left_out = snapshot_.memory.bytes_left_out(); left_out != 0) {
            snapshot_.problems.push_back({"max_pause",
                                          fmt::format("the target was let go on after {} ms, as --max-pause "
                                                      "demands: {} bytes were not copied, "
                                                      "and what they hold is missing",
                                                      options_.most_pause.count(), left_out),
                                          "", true});
        }
        for (const Problem& problem : stopped->problems()) snapshot_.problems.push_back(problem);
        snapshot_.stack_mappings = stacks_.mappings;
        snapshot_.anchor_ranges = subtract(resident_, stacks_.dead_parts);
        return {};
    }

    /// Leaves out what would be too much, from the end.
    void keep_to_memory_bound(std::vector<AddressRange>& ranges) {
        if (options_.most_bytes == 0) return;
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < ranges.size(); ++i) {
            total += ranges[i].size();
            if (total <= options_.most_bytes) continue;
            ranges.resize(i);
            snapshot_.problems.push_back({"max_memory",
                                          fmt::format("more than {} MiB would have to be copied: the rest is "
                                                      "left out (--max-memory raises the "
                                                      "bound)",
                                                      options_.most_bytes >> 20),
                                          "", true});
            return;
        }
    }

    /// While the target is stopped: the registry again. What no frame was in before may hold one now: blocks
    /// that are new, and those that their owner uses again and again (Boost.Asio's).
    void copy_changed_blocks() {
        std::vector<RegisteredBlock> now = options_.registry->blocks(live_);
        ChangedBlocks changed = changed_blocks(snapshot_.blocks, now, planned_frames_, scannable_);
        snapshot_.blocks = std::move(now);
        changed_blocks_ = std::move(changed.ranges);
        snapshot_.bytes_copied += snapshot_.memory.copy_from(live_, changed_blocks_);
        if (changed.too_many) {
            snapshot_.problems.push_back(
                {"young_coroutines",
                 "too much was created between the search for coroutines and the stop: "
                 "some may be missing; try again, or use --exact",
                 "", true});
        }
        RecordingMemory recording(snapshot_.memory, live_);
        read_annotations(recording);
        snapshot_.bytes_copied += snapshot_.memory.copy_from(live_, recording.take_recorded());
    }

    /// While the target is stopped: frames that were created since the scan, found by the pointers on stacks,
    /// in registers and in the frames that are known.
    void find_young_frames() {
        std::unordered_set<std::uint64_t> seen;
        for (const cpp20::Frame& frame : planned_frames_) seen.insert(frame.address.value());
        std::vector<AddressRange> sources = stacks_.live_parts;
        for (const AddressRange& range : cpp20::ranges_of(planned_frames_)) sources.push_back(range);
        const auto may_be_frame = [](RemoteAddress pointer) { return pointer.value() % 8 == 0; };
        for (int round = 0; round < young_rounds && !sources.empty(); ++round) {
            std::vector<RemoteAddress> pointers;
            for (const AddressRange& source : sources)
                collect_pointers(source, may_be_frame, most_young_pointers, seen, pointers);
            sources.clear();
            std::vector<std::array<std::uint64_t, 2>> heads(pointers.size());
            std::vector<CopyRequest> requests;
            for (std::size_t i = 0; i < pointers.size(); ++i) {
                requests.push_back({pointers[i], std::as_writable_bytes(std::span(heads[i])), 0});
            }
            live_.read_many(requests);
            for (std::size_t i = 0; i < pointers.size(); ++i) {
                if (requests[i].copied != 16) continue;
                if (!runtime_.catalog().identify(RemoteAddress(heads[i][0]), RemoteAddress(heads[i][1])))
                    continue;
                young_.push_back(pointers[i]);
                sources.push_back({pointers[i], pointers[i] + 1024});
            }
            snapshot_.bytes_copied += snapshot_.memory.copy_from(live_, sources);
        }
    }

    /// While the target is stopped: what its stacks and registers point to may be the value of a variable, or
    /// lead to it. Which variables there are is known only after unwinding.
    void copy_around_stacks() {
        std::unordered_set<std::uint64_t> seen;
        std::vector<RemoteAddress> pointers;
        for (const StoppedThread& thread : snapshot_.stopped) {
            for (unsigned number = 0; number < Registers::count; ++number) {
                const std::uint64_t word = thread.registers.get(number);
                if (contains(scannable_, RemoteAddress(word)) && seen.insert(word).second)
                    pointers.emplace_back(word);
            }
        }
        std::vector<AddressRange> sources;
        for (const AddressRange& stack : stacks_.live_parts)
            sources.push_back({stack.begin, std::min(stack.end, stack.begin + searched_stack)});
        const auto is_missing = [&](RemoteAddress pointer) {
            return !snapshot_.memory.covers({pointer, pointer + object_beginning});
        };
        for (int round = 0; round < rounds_around_stacks; ++round) {
            for (const AddressRange& source : sources)
                collect_pointers(source, is_missing, most_objects_around_stacks, seen, pointers);
            sources.clear();
            for (const RemoteAddress pointer : pointers)
                sources.push_back({pointer, pointer + object_beginning});
            pointers.clear();
            snapshot_.bytes_copied += snapshot_.memory.copy_from(live_, sources);
        }
    }

    /// Words that point to writable memory, are wanted, and were not `seen` yet.
    template <class IsWanted>
    void collect_pointers(AddressRange source, const IsWanted& is_wanted, std::size_t most,
                          std::unordered_set<std::uint64_t>& seen,
                          std::vector<RemoteAddress>& pointers) const {
        std::vector<std::uint64_t> words(source.size() / 8);
        const RemoteAddress begin((source.begin.value() + 7) & ~7ULL);
        words.resize(snapshot_.memory.read(begin, std::as_writable_bytes(std::span(words))) / 8);
        for (const std::uint64_t word : words) {
            const RemoteAddress pointer(word);
            if (pointers.size() >= most || !contains(scannable_, pointer) || !is_wanted(pointer)) continue;
            if (seen.insert(word).second) pointers.emplace_back(word);
        }
    }

    void examine() {
        // Stacks are looked at as they were copied, whatever else is.
        const bool all_at_once = snapshot_.whole && snapshot_.scanned;
        std::vector<RemoteAddress> scanned = young_;
        add(scanned,
            scan(snapshot_.memory, all_at_once ? snapshot_.anchor_ranges : stacks_.live_parts).frames);
        std::vector<RemoteAddress> addresses = scanned;
        if (options_.registry != nullptr) {
            if (snapshot_.whole) snapshot_.blocks = options_.registry->blocks(snapshot_.memory);
            add(addresses, candidates_in_blocks());
        }
        snapshot_.frames = cpp20::examine_frames(snapshot_.memory, snapshot_.map, runtime_.catalog(),
                                                 runtime_.layouts(), addresses, registered_ranges());
        add(scanned, planned_scan_);
        for (cpp20::Frame& frame : snapshot_.frames) {
            frame.found_by_scan = std::ranges::binary_search(scanned, frame.address);
            if (!snapshot_.scanned) frame.found_by_scan &= !frame.found_by_registry;
        }
        // Beside the registry a stack holds only frames that the compiler put there; whatever else looks like
        // one is what calls have left behind, or lies in a heap that happens to follow the stack.
        if (!snapshot_.scanned)
            std::erase_if(snapshot_.frames, [](const cpp20::Frame& frame) {
                return !frame.found_by_registry && !frame.elided;
            });
        if (!snapshot_.whole) add_planned_frames();
    }

    std::vector<RemoteAddress> candidates_in_blocks() {
        const LookedInside blocks(snapshot_.blocks, scannable_);
        if (snapshot_.whole) return scan(snapshot_.memory, blocks.ranges()).frames;
        std::vector<RemoteAddress> candidates = scan(snapshot_.memory, changed_blocks_).frames;
        if (ran_since_scan_)
            add(candidates, scan(snapshot_.memory, cpp20::ranges_of(planned_frames_)).frames);
        for (const cpp20::Frame& frame : planned_frames_)
            if (frame.found_by_registry) candidates.push_back(frame.address);
        add(candidates, {});
        return blocks.only_inside(candidates);
    }

    /// Of the planned frames those are left that still are frames. What lay in a registered block was looked
    /// at again.
    void add_planned_frames() {
        for (const cpp20::Frame& frame :
             cpp20::still_valid(snapshot_.memory, runtime_.catalog(), planned_frames_)) {
            const bool in_dead_stack = contains(stacks_.dead_parts, frame.address);
            if (!frame.found_by_registry && !in_dead_stack) snapshot_.frames.push_back(frame);
        }
        sort_runs(snapshot_.frames, &cpp20::Frame::address);
        const auto [first, last] = std::ranges::unique(snapshot_.frames, {}, &cpp20::Frame::address);
        snapshot_.frames.erase(first, last);
        if (ran_since_scan_ && snapshot_.scanned) {
            snapshot_.problems.push_back(
                {"young_coroutines",
                 "the target ran between the search for coroutines and the stop: coroutines created in that "
                 "moment may be "
                 "missing; --exact searches during the stop, which pauses the target longer",
                 "", true});
        }
    }

    const LiveMemory& live_;
    cpp20::Cpp20Runtime& runtime_;
    CaptureOptions options_;
    std::vector<AddressRange> scannable_, resident_;
    Snapshot snapshot_;
    Stacks stacks_;
    std::vector<cpp20::Frame> planned_frames_;
    std::vector<AddressRange> planned_reads_;
    std::vector<RemoteAddress> young_, planned_scan_;
    std::vector<AddressRange> changed_blocks_;
    std::uint64_t run_time_before_scan_ = 0;
    bool ran_since_scan_ = false;
};

}  // namespace

Result<Snapshot> capture(const ProcessInfo& process, const MemoryMap& map, const LiveMemory& live,
                         cpp20::Cpp20Runtime& runtime, const CaptureOptions& options) {
    return Capturer(process, map, live, runtime, options).run();
}

}  // namespace asyncdump
