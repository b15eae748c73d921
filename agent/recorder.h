// Joins the tables: what happens when a block begins and ends.
//
// A block of a site that is still being judged is registered as "unsettled". It is judged once: when it ends,
// by the words that still stand in it, or earlier, when its thread has made two more unsettled blocks.
// Whoever looks at a block that it does not own marks it "examined" first; a thread that ends an examined
// block leaves it to the examiner to free. So nothing is read after it was freed, and nobody waits.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>

#include "annotation_table.h"
#include "atomics.h"
#include "block_table.h"
#include "origin_table.h"
#include "registry_layout.h"
#include "site_table.h"
#include "stack_walk.h"

namespace asyncdump::agent {

/// What each thread keeps. Zero at its start; nothing to do at its end.
struct ThreadState {
    StackBounds stack;
    std::uintptr_t pending[2];  ///< unsettled blocks of this thread, to be judged at its next ones
    std::uint32_t id;
    std::int32_t until_sample;  ///< blocks of plain sites until one is registered and judged all the same
    std::int32_t sample_interval;
    std::uint32_t scope;  ///< annotation id of the innermost scope
    std::uint8_t next_pending;
    std::uint8_t judging;  ///< a signal handler that allocates must not touch `pending` then
};

/// Samples of a thread's blocks from plain sites become rarer: 250, 501, 1003, ... blocks apart. A sample
/// touches a page of records of its own, so that frequent ones would cost a plain program a fifth of its
/// heap.
inline constexpr std::int32_t kFirstSampleInterval = 250;
inline constexpr std::int32_t kLongestSampleInterval = 16000;

/// Where a hook was called.
struct CallSite {
    std::uintptr_t return_address;
    std::uintptr_t caller_frame;  ///< the frame pointer that the caller had; anything, if it has none
};

using ReleaseFunction = void (*)(void* block);
using ClockFunction = int (*)(clockid_t, timespec*);

/// All zero at the start, so that blocks can be recorded before any constructor has run.
struct Recorder {
    BlockTable blocks;
    SiteTable sites;
    OriginTable origins;
    AnnotationTable annotations;
    asyncdump_counters counters;

    // Set before use, then constant.
    ClockFunction clock;
    ReleaseFunction free_block;    ///< frees what malloc's family gave
    ReleaseFunction delete_block;  ///< frees what operator new gave
    std::uintptr_t end_of_first_stack;
    std::uint32_t stack_depth;

    /// The hot question of operator new.
    bool goes_unrecorded(std::uint64_t key, ThreadState& thread) const {
        if (!sites.is_plain(key)) return false;
        if (--thread.until_sample >= 0) [[likely]]
            return true;
        start_sample_interval(thread);
        return false;
    }

    /// Registers a block that its owner has not used yet. `kind` is 0 or ASYNCDUMP_SLOT_MALLOC. `always`: the
    /// site is not judged.
    void begin(void* block, std::size_t size, std::uint64_t key, const CallSite& call, std::uint8_t kind,
               bool always, ThreadState& thread);

    /// The hot path of begin(): does the same when nothing is special, and nothing (false) otherwise.
    [[gnu::always_inline]] bool begin_quickly(void* block, std::size_t size, std::uint64_t key,
                                              const CallSite& call, ThreadState& thread) {
        const auto address = reinterpret_cast<std::uintptr_t>(block);
        const asyncdump_site* site = sites.find_settled(key);
        const Slot slot = blocks.find(address);
        if (site == nullptr || slot.flags == nullptr || load_acquire(*slot.flags) != 0 || thread.scope != 0 ||
            thread.id == 0)
            return false;
        const std::uint32_t origin = stack_depth > 1
                                         ? walked_origin(call, SiteTable::useful_depth(*site), thread)
                                         : load_relaxed(site->origin);
        if (origin == 0) return false;
        clear_second_word(block);
        BlockTable::publish(slot, make_record(size, origin, thread.id, now(), 0), live_at(address));
        return true;
    }

    enum class Ended { not_registered, ended, not_yet };
    /// The hot path of operator delete. `not_yet`: call end().
    [[gnu::always_inline]] Ended end_quickly(void* block) {
        const auto address = reinterpret_cast<std::uintptr_t>(block);
        const Slot slot = blocks.find(address);
        if (slot.flags == nullptr) return Ended::not_registered;
        const std::uint8_t flags = load_acquire(*slot.flags);
        if (flags == 0) return Ended::not_registered;
        if (flags != live_at(address)) return Ended::not_yet;
        store_release(*slot.flags, std::uint8_t{0});
        return Ended::ended;
    }

    /// Removes the block. False: do not free it, another thread looks at it and will.
    bool end(void* block);

    enum class Taken { not_registered, taken, examined };
    /// For realloc: removes the entry of `block` and keeps its annotations, so that it can be put back.
    /// `examined`: nothing was done; another thread looks at the block, so that it must not be moved.
    Taken take(void* block, asyncdump_record& record, std::uint8_t& flags);
    void put_back(void* block, const asyncdump_record& record, std::uint8_t flags);
    void drop_taken(const asyncdump_record& record, std::uint8_t flags);

    /// A block that no hook sees begin or end. `call` is null when its creation is not known. False when a
    /// block is there already or there is no memory.
    bool begin_explicit(std::uintptr_t address, std::size_t size, const CallSite* call, ThreadState& thread);
    void end_explicit(std::uintptr_t address);

    bool annotate(std::uintptr_t inside, Text name, Text label);
    std::uint32_t begin_scope(Text name, ThreadState& thread);
    void end_scope(std::uint32_t scope, ThreadState& thread);

    /// In units of the header's clock. 0 before the constructor has run.
    std::uint64_t now() const {
        timespec time;
        if (clock == nullptr || clock(CLOCK_MONOTONIC_COARSE, &time) != 0) [[unlikely]]
            return 0;
        return static_cast<std::uint64_t>(time.tv_sec) * 1000 +
               static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000;
    }

  private:
    void judge(const asyncdump_record& record, std::uintptr_t address);
    void examine(std::uintptr_t address, const ThreadState& thread);
    void judge_later(std::uintptr_t address, ThreadState& thread);
    static void start_sample_interval(ThreadState& thread);
    std::uint32_t origin_of(const CallSite& call, asyncdump_site* site, ThreadState& thread);
    /// The origin of the stack up to `useful_depth`, if it was interned before; 0 otherwise.
    std::uint32_t walked_origin(const CallSite& call, std::size_t useful_depth, ThreadState& thread) const;
    std::uint32_t add_walked_origin(const CallSite& call, asyncdump_site* site, ThreadState& thread);
    /// What an earlier frame left here must not be taken for the new block's content.
    static void clear_second_word(void* block) { static_cast<std::uintptr_t*>(block)[1] = 0; }
    void replace(Slot slot);
};

}  // namespace asyncdump::agent
