#include "recorder.h"

#include "code_ranges.h"

namespace asyncdump::agent {
namespace {

std::uint32_t id_of(ThreadState& thread) {
    if (thread.id == 0) [[unlikely]]
        thread.id = current_thread_id();
    return thread.id;
}

}  // namespace

void Recorder::start_sample_interval(ThreadState& thread) {
    if (thread.sample_interval == 0)
        thread.sample_interval = kFirstSampleInterval;
    else if (thread.sample_interval < kLongestSampleInterval)
        thread.sample_interval = thread.sample_interval * 2 + 1;
    thread.until_sample = thread.sample_interval;
}

void Recorder::begin(void* block, std::size_t size, std::uint64_t key, const CallSite& call,
                     std::uint8_t kind, bool always, ThreadState& thread) {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    const Slot slot = blocks.find_or_add(address, counters);
    if (slot.flags == nullptr) return;
    if (asyncdump_is_live(load_acquire(*slot.flags))) [[unlikely]]
        replace(slot);

    clear_second_word(block);

    asyncdump_site* site = sites.find_or_add(key, size);
    bool settled = always;
    if (site == nullptr) {
        count(counters.sites_full);
        settled = true;
    } else {
        const std::uint32_t state = SiteTable::state_of(*site);
        settled |= state == ASYNCDUMP_SITE_FRAME || state == ASYNCDUMP_SITE_MIXED;
    }

    std::uint8_t flags = live_at(address) | kind;
    if (!settled) flags |= ASYNCDUMP_SLOT_UNSETTLED;
    if (thread.scope != 0) {
        annotations.retain(thread.scope);
        flags |= ASYNCDUMP_SLOT_ANNOTATED;
    }
    const std::uint32_t origin = origin_of(call, site, thread);
    BlockTable::publish(slot, make_record(size, origin, id_of(thread), now(), thread.scope), flags);
    if (!settled) judge_later(address, thread);
}

std::uint32_t Recorder::origin_of(const CallSite& call, asyncdump_site* site, ThreadState& thread) {
    if (stack_depth > 1) {
        const std::size_t useful =
            site != nullptr ? SiteTable::useful_depth(*site) : std::size_t{ASYNCDUMP_MAXIMUM_STACK_DEPTH};
        if (const std::uint32_t id = walked_origin(call, useful, thread)) return id;
        if (const std::uint32_t id = add_walked_origin(call, site, thread)) return id;
    }
    if (site != nullptr) {
        if (const std::uint32_t id = load_relaxed(site->origin)) return id;
    }
    const std::uint32_t id = origins.add(OriginTable::hash(&call.return_address, 1), &call.return_address, 1);
    if (id == 0) count(counters.origins_full);
    if (site != nullptr) store_relaxed(site->origin, id);
    return id;
}

std::uint32_t Recorder::walked_origin(const CallSite& call, std::size_t useful_depth,
                                      ThreadState& thread) const {
    StackHash hash;
    hash.add(call.return_address);
    walk_frame_pointers(call.caller_frame, thread.stack, end_of_first_stack,
                        useful_depth < stack_depth ? useful_depth : stack_depth,
                        [&hash](std::uintptr_t return_address) { hash.add(return_address); });
    return origins.find(hash.value());
}

std::uint32_t Recorder::add_walked_origin(const CallSite& call, asyncdump_site* site, ThreadState& thread) {
    std::uintptr_t addresses[ASYNCDUMP_MAXIMUM_STACK_DEPTH];
    std::size_t depth = 0;
    addresses[depth++] = call.return_address;
    walk_frame_pointers(call.caller_frame, thread.stack, end_of_first_stack, stack_depth,
                        [&](std::uintptr_t return_address) { addresses[depth++] = return_address; });
    std::size_t sound = 1;
    while (sound < depth && may_be_return_address(addresses[sound])) ++sound;
    if (sound < depth && site != nullptr) SiteTable::note_false_stack(*site, sound);
    const std::uint32_t id = origins.add(OriginTable::hash(addresses, sound), addresses, sound);
    if (id == 0) count(counters.origins_full);
    return id;
}

bool Recorder::end(void* block) {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    const Slot slot = blocks.find(address);
    if (slot.flags == nullptr || (load_acquire(*slot.flags) & kLiveAndOffset) != live_at(address))
        return true;
    const asyncdump_record record{load_relaxed(slot.record->identity), load_relaxed(slot.record->creation)};
    const std::uint8_t flags = exchange(*slot.flags, std::uint8_t{0});
    if (asyncdump_is_annotated(flags)) annotations.release(asyncdump_annotation_id(record.creation));
    if ((flags & ASYNCDUMP_SLOT_EXAMINED) != 0) return false;
    if ((flags & ASYNCDUMP_SLOT_UNSETTLED) != 0) judge(record, address);
    return true;
}

void Recorder::judge(const asyncdump_record& record, std::uintptr_t address) {
    const std::uint64_t size = asyncdump_size(record.identity);
    const std::uintptr_t site_address = origins.site_of(asyncdump_origin_id(record.identity));
    if (size == ASYNCDUMP_SIZE_UNKNOWN || site_address == 0) return;
    asyncdump_site* site = sites.find_or_add(site_key(site_address, size_class(size)), size);
    if (site == nullptr) return;
    if (SiteTable::vote(*site, may_hold_frame(address, size))) count(counters.late_verdicts);
}

void Recorder::examine(std::uintptr_t address, const ThreadState& thread) {
    const Slot slot = blocks.find(address);
    if (slot.flags == nullptr) return;
    std::uint8_t flags = load_acquire(*slot.flags);
    do {
        constexpr std::uint8_t mask = ASYNCDUMP_SLOT_UNSETTLED | ASYNCDUMP_SLOT_EXAMINED;
        if ((flags & kLiveAndOffset) != live_at(address) || (flags & mask) != ASYNCDUMP_SLOT_UNSETTLED)
            return;
    } while (
        !compare_exchange(*slot.flags, flags, static_cast<std::uint8_t>(flags | ASYNCDUMP_SLOT_EXAMINED)));

    const std::uint8_t kind = flags & ASYNCDUMP_SLOT_MALLOC;
    const asyncdump_record record{load_relaxed(slot.record->identity), 0};
    std::uint8_t done = ASYNCDUMP_SLOT_EXAMINED;
    // Another thread's block at this address may be so young that nothing stands in it.
    if (asyncdump_thread(record.identity) == thread.id) {
        judge(record, address);
        done |= ASYNCDUMP_SLOT_UNSETTLED;
    }

    flags = load_acquire(*slot.flags);
    do {
        if (!asyncdump_is_live(flags)) {
            (kind != 0 ? free_block : delete_block)(reinterpret_cast<void*>(address));
            return;
        }
    } while (!compare_exchange(*slot.flags, flags, static_cast<std::uint8_t>(flags & ~done)));
}

void Recorder::judge_later(std::uintptr_t address, ThreadState& thread) {
    if (thread.judging != 0) return;
    thread.judging = 1;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    const std::uintptr_t earlier = thread.pending[thread.next_pending];
    const std::uintptr_t later = thread.pending[thread.next_pending ^ 1];
    thread.pending[thread.next_pending] = address;
    thread.next_pending ^= 1;
    // The allocator gives the same address again and again: what is there now must not be younger than it
    // should be.
    if (earlier != 0 && earlier != later && earlier != address) examine(earlier, thread);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    thread.judging = 0;
}

void Recorder::replace(Slot slot) {
    count(counters.replaced);
    const asyncdump_record record{0, load_relaxed(slot.record->creation)};
    const std::uint8_t flags = exchange(*slot.flags, std::uint8_t{0});
    if (asyncdump_is_annotated(flags)) annotations.release(asyncdump_annotation_id(record.creation));
}

Recorder::Taken Recorder::take(void* block, asyncdump_record& record, std::uint8_t& flags) {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    const Slot slot = blocks.find(address);
    if (slot.flags == nullptr) return Taken::not_registered;
    flags = load_acquire(*slot.flags);
    do {
        if ((flags & kLiveAndOffset) != live_at(address)) return Taken::not_registered;
        if ((flags & ASYNCDUMP_SLOT_EXAMINED) != 0) return Taken::examined;
    } while (!compare_exchange(*slot.flags, flags, std::uint8_t{0}));
    record = {load_relaxed(slot.record->identity), load_relaxed(slot.record->creation)};
    flags = static_cast<std::uint8_t>(flags & ~ASYNCDUMP_SLOT_UNSETTLED);
    return Taken::taken;
}

void Recorder::drop_taken(const asyncdump_record& record, std::uint8_t flags) {
    if (asyncdump_is_annotated(flags)) annotations.release(asyncdump_annotation_id(record.creation));
}

void Recorder::put_back(void* block, const asyncdump_record& record, std::uint8_t flags) {
    const Slot slot = blocks.find(reinterpret_cast<std::uintptr_t>(block));
    if (slot.flags != nullptr) BlockTable::publish(slot, record, flags);
}

bool Recorder::begin_explicit(std::uintptr_t address, std::size_t size, const CallSite* call,
                              ThreadState& thread) {
    if (address % sizeof(std::uintptr_t) != 0) return false;
    const Slot slot = blocks.find_or_add(address, counters);
    if (slot.flags == nullptr) return false;
    const std::uint8_t found = load_acquire(*slot.flags);
    if (asyncdump_is_live(found)) {
        if ((found & kLiveAndOffset) != live_at(address)) count(counters.dropped_collisions);
        return false;
    }
    const asyncdump_record record = call != nullptr ? make_record(size, origin_of(*call, nullptr, thread),
                                                                  id_of(thread), now(), thread.scope)
                                                    : make_record(size, 0, 0, 0, 0);
    std::uint8_t flags = live_at(address) | ASYNCDUMP_SLOT_EXPLICIT;
    if (call != nullptr && thread.scope != 0) {
        annotations.retain(thread.scope);
        flags |= ASYNCDUMP_SLOT_ANNOTATED;
    }
    BlockTable::publish(slot, record, flags);
    return true;
}

void Recorder::end_explicit(std::uintptr_t address) {
    const Slot slot = blocks.find(address);
    if (slot.flags == nullptr) return;
    const std::uint8_t flags = load_acquire(*slot.flags);
    if ((flags & kLiveAndOffset) != live_at(address) || (flags & ASYNCDUMP_SLOT_EXPLICIT) == 0) return;
    const std::uint64_t creation = load_relaxed(slot.record->creation);
    if (asyncdump_is_annotated(exchange(*slot.flags, std::uint8_t{0})))
        annotations.release(asyncdump_annotation_id(creation));
}

bool Recorder::annotate(std::uintptr_t inside, Text name, Text label) {
    constexpr std::size_t largest_searched_frame = 64 * 1024;
    const std::uintptr_t block = blocks.find_containing(inside, largest_searched_frame);
    return block != 0 && annotations.annotate(blocks.find(block), inside, name, label, counters);
}

std::uint32_t Recorder::begin_scope(Text name, ThreadState& thread) {
    const std::uint32_t scope = annotations.create_scope(name, thread.scope, counters);
    if (scope != 0) thread.scope = scope;
    return scope;
}

void Recorder::end_scope(std::uint32_t scope, ThreadState& thread) {
    if (thread.scope != scope) {
        // Whose scope it is cannot be known here: its reference is kept, so that its id never means another
        // name.
        count(counters.misnested_scopes);
        return;
    }
    thread.scope = annotations.get(scope)->parent;
    annotations.release(scope);
}

}  // namespace asyncdump::agent
