#include "runtimes/cpp20/running.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "runtimes/cpp20/frame_pointer.h"

namespace asyncdump::cpp20 {
namespace {

/// Locals of a resume function beyond this many bytes of stack are not searched.
constexpr std::uint64_t largest_stack_frame = 64 * 1024;

}  // namespace

struct RunningCoroutines::Code {
    Code(const Module& module, const ImportedFunctions& imported, std::span<const AddressRange> ranges,
         RemoteAddress entry, FramePointerPlaces::Function function, RemoteAddress resume)
        : code(module, imported, ranges), places(code, entry, function, resume) {}

    FunctionCode code;
    FramePointerPlaces places;
};

class RunningCoroutines::Search {
  public:
    Search(RunningCoroutines& owner, const Memory& memory, std::span<const Frame> frames)
        : owner_(owner), memory_(memory), frames_(frames) {}

    void look_at(const ThreadStack& thread) {
        ++thread_;
        for (std::uint32_t i = 0; i < thread.stack->frames.size(); ++i) look_at(thread, i);
    }

    std::vector<RunningFrame> take() {
        add_lone_candidates();
        add_inlined();
        remove_ramps_of_resumed();
        std::ranges::stable_sort(found_, {}, [](const Found& found) {
            return std::tuple(found.thread, found.running.stack_frame, ~found.running.inlined);
        });
        std::vector<RunningFrame> running;
        for (const Found& found : found_) running.push_back(found.running);
        return running;
    }

  private:
    struct Found {
        RunningFrame running;
        bool is_ramp = false;
        std::size_t thread = 0;  ///< its number among the stacks
    };
    struct Unknown {
        const ThreadStack* stack;
        std::size_t thread;
        std::uint32_t stack_frame;
        std::uint32_t function;
        std::uint32_t inlined = 0;
    };

    std::optional<std::uint32_t> frame_at(RemoteAddress address, std::uint32_t function) const {
        const auto found = std::ranges::lower_bound(frames_, address, {}, &Frame::address);
        if (found == frames_.end() || found->address != address) return std::nullopt;
        // A linker may have folded functions that are equal into one.
        const auto& functions = owner_.catalog_.functions();
        if (functions[found->function].resume.begin != functions[function].resume.begin) return std::nullopt;
        return static_cast<std::uint32_t>(found - frames_.begin());
    }

    void look_at(const ThreadStack& thread, std::uint32_t number) {
        const UnwoundFrame& activation = thread.stack->frames[number];
        const auto part =
            owner_.catalog_.part_at(activation.is_return_address ? activation.pc - 1 : activation.pc);
        bool is_known = false, has_lost_it = false;
        if (part && has_own_body(*part)) {
            const FramePointerPlaces& places = owner_.code_of(*part).places;
            if (const auto frame = places.frame_of(activation, memory_)) {
                is_known = true;
                add(thread, number, 0, part->kind, frame_at(*frame, part->function));
            }
            has_lost_it = !is_known && places.knows(activation);
        }
        for (const auto& told : owner_.variables_.frames_of(activation, memory_)) {
            const bool is_itself = told.inlined == 0;
            if (told.frame.is_null()) {
                inlined_.push_back({&thread, thread_, number, told.function, told.inlined});
                continue;
            }
            if (is_itself && (is_known || !part)) continue;
            const auto coroutine = frame_at(told.frame, told.function);
            if (is_itself) is_known = true;
            add(thread, number, told.inlined, is_itself ? part->kind : CoroutinePart::Kind::ramp, coroutine);
        }
        if (part && !is_known && !has_lost_it && part->kind != CoroutinePart::Kind::ramp)
            unknown_.push_back({&thread, thread_, number, part->function});
    }

    /// GCC's ramp never runs the body: it calls the resume function.
    bool has_own_body(const CoroutinePart& part) const {
        return part.kind != CoroutinePart::Kind::ramp ||
               owner_.catalog_.functions()[part.function].compiler == Compiler::clang;
    }

    void add(const ThreadStack& thread, std::uint32_t number, std::uint32_t inlined, CoroutinePart::Kind kind,
             std::optional<std::uint32_t> coroutine) {
        if (!coroutine) return;
        if (!found_.empty()) {
            // GCC's destroy function calls the resume function; several variables may say the same.
            const Found& inner = found_.back();
            const bool is_next =
                inner.thread == thread_ && inner.running.coroutine == *coroutine &&
                (inner.running.stack_frame == number ||
                 (kind == CoroutinePart::Kind::destroy && inner.running.stack_frame + 1 == number));
            if (is_next) return;
        }
        found_.push_back(
            {{thread.tid, number, inlined, *coroutine}, kind == CoroutinePart::Kind::ramp, thread_});
        joined_.insert(*coroutine);
    }

    /// A coroutine is executed once at a time: neither one whose activation is known nor one that several
    /// could be is taken.
    void add_lone_candidates() {
        std::map<std::uint32_t, std::vector<const Unknown*>> takers;
        for (const Unknown& unknown : unknown_) {
            const auto candidates = candidates_of(unknown);
            if (candidates.size() == 1) takers[*candidates.begin()].push_back(&unknown);
        }
        for (const auto& [coroutine, unknown] : takers) {
            if (unknown.size() != 1) continue;
            const Unknown& taker = *unknown[0];
            found_.push_back({{taker.stack->tid, taker.stack_frame, 0, coroutine}, false, taker.thread});
        }
    }

    /// Of a coroutine whose code was merged into the caller's nothing may tell the frame's place: it is the
    /// only one of its function in the frame of the coroutine that is executed there or in the activation's
    /// part of the stack, or to which a word there leads.
    void add_inlined() {
        for (const Unknown& unknown : inlined_) {
            std::vector<AddressRange> around;
            bool is_known = false;
            for (const Found& found : found_) {
                if (found.thread != unknown.thread || found.running.stack_frame != unknown.stack_frame)
                    continue;
                around.push_back(frames_[found.running.coroutine].range());
                is_known = is_known || found.running.inlined == unknown.inlined;
            }
            if (is_known) continue;
            const UnwoundFrame& activation = unknown.stack->stack->frames[unknown.stack_frame];
            const RemoteAddress begin = activation.registers.stack_pointer();
            if (activation.canonical_frame_address > begin)
                around.push_back({begin, activation.canonical_frame_address});
            std::set<std::uint32_t> candidates;
            const auto consider = [&](RemoteAddress address, bool is_inside) {
                const auto coroutine = frame_at(address, unknown.function);
                if (!coroutine || joined_.contains(*coroutine)) return;
                if (frames_[*coroutine].elided == is_inside) candidates.insert(*coroutine);
            };
            std::vector<std::uint64_t> scratch;
            for (AddressRange range : around) {
                range.end = std::min(range.end, range.begin + largest_stack_frame);
                auto frame = std::ranges::lower_bound(frames_, range.begin, {}, &Frame::address);
                for (; frame != frames_.end() && frame->address < range.end; ++frame)
                    consider(frame->address, true);
                for (const std::uint64_t word : memory_.read_words(range, scratch))
                    consider(RemoteAddress(word), false);
            }
            if (candidates.size() != 1) continue;
            found_.push_back({{unknown.stack->tid, unknown.stack_frame, unknown.inlined, *candidates.begin()},
                              true,
                              unknown.thread});
            joined_.insert(*candidates.begin());
        }
    }

    std::set<std::uint32_t> candidates_of(const Unknown& unknown) const {
        const UnwoundFrame& activation = unknown.stack->stack->frames[unknown.stack_frame];
        std::set<std::uint32_t> candidates;
        const auto consider = [&](std::uint64_t word) {
            const auto coroutine = frame_at(RemoteAddress(word), unknown.function);
            if (coroutine && !joined_.contains(*coroutine)) candidates.insert(*coroutine);
        };
        for (unsigned number = 0; number < Registers::rip; ++number) {
            if (activation.registers.is_known(number)) consider(activation.registers.get(number));
        }
        const RemoteAddress begin = activation.registers.stack_pointer();
        if (activation.canonical_frame_address > begin) {
            std::vector<std::uint64_t> words(
                std::min(activation.canonical_frame_address - begin, largest_stack_frame) / 8);
            words.resize(memory_.read(begin, std::as_writable_bytes(std::span(words))) / 8);
            for (const std::uint64_t word : words) consider(word);
        }
        return candidates;
    }

    /// While the call of a coroutine is about to return, somebody else may already have resumed it.
    void remove_ramps_of_resumed() {
        std::set<std::uint32_t> resumed;
        for (const Found& found : found_) {
            if (!found.is_ramp) resumed.insert(found.running.coroutine);
        }
        std::erase_if(found_, [&](const Found& found) {
            return found.is_ramp && resumed.contains(found.running.coroutine);
        });
    }

    RunningCoroutines& owner_;
    const Memory& memory_;
    std::span<const Frame> frames_;
    std::size_t thread_ = 0;
    std::vector<Found> found_;
    std::vector<Unknown> unknown_, inlined_;
    std::set<std::uint32_t> joined_;
};

RunningCoroutines::RunningCoroutines(const CoroutineCatalog& catalog, LayoutCache& layouts)
    : catalog_(catalog), variables_(catalog, layouts) {}

RunningCoroutines::~RunningCoroutines() = default;

const RunningCoroutines::Code& RunningCoroutines::code_of(const CoroutinePart& part) {
    auto& entry = code_[part.entry];
    if (entry != nullptr) return *entry;
    using Kind = CoroutinePart::Kind;
    const CoroutineCode& code = catalog_.functions()[part.function];
    std::vector<AddressRange> ranges;
    if (part.kind == Kind::resume) {
        ranges = code.cold;
        ranges.push_back(code.resume);
    } else if (part.kind == Kind::ramp) {
        ranges.push_back(code.ramp);
    } else if (part.entry == code.cleanup.begin) {
        ranges.push_back(code.cleanup);
    } else {
        ranges = code.destroy_cold;
        ranges.push_back(code.destroy);
    }
    const auto imported = imported_.try_emplace(code.module, *code.module).first;
    using Function = FramePointerPlaces::Function;
    entry = std::make_unique<Code>(*code.module, imported->second, ranges, part.entry,
                                   part.kind == Kind::ramp ? Function::ramp : Function::resume_or_destroy,
                                   code.resume.begin);
    return *entry;
}

std::vector<RunningFrame> RunningCoroutines::find(const Memory& memory, std::span<const Frame> frames,
                                                  std::span<const ThreadStack> stacks) {
    Search search(*this, memory, frames);
    for (const ThreadStack& thread : stacks) search.look_at(thread);
    return search.take();
}

}  // namespace asyncdump::cpp20
