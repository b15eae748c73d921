// Names, labels and scopes. Each is referred to by what carries it and is free for others when nothing does,
// so that memory is bounded by what is alive: a server may name every session it ever has.
//
// An annotation is immutable from the moment something refers to it. A change builds a new one and swaps ids.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"
#include "block_table.h"
#include "chunk_directory.h"
#include "registry_layout.h"

namespace asyncdump::agent {

inline constexpr unsigned kAnnotationChunkShift = 13;
inline constexpr std::size_t kAnnotationChunks = 128;
static_assert(sizeof(asyncdump_annotation) << kAnnotationChunkShift == kChunkBytes);

struct Text {
    const char* bytes;  ///< null: keep what is there
    std::size_t length;
};

class AnnotationTable {
  public:
    /// A scope with one reference, which also holds one on `enclosing` (0: none). 0 when there is no room.
    std::uint32_t create_scope(Text name, std::uint32_t enclosing, asyncdump_counters& counters) {
        const std::uint32_t id = allocate(ASYNCDUMP_ANNOTATION_SCOPE, 0);
        if (id == 0) {
            count(counters.annotations_full);
            return 0;
        }
        copy_text(get(id)->name, name);
        if (enclosing != 0) retain(enclosing);
        get(id)->parent = enclosing;
        return id;
    }

    void retain(std::uint32_t id) { fetch_add(get(id)->references, 1u); }

    /// Gives back one reference, and what only that one held.
    void release(std::uint32_t id) {
        while (id != 0) {
            asyncdump_annotation* annotation = get(id);
            if (fetch_subtract(annotation->references, 1u) != 1) return;
            const std::uint32_t parent = annotation->parent;
            store_release(annotation->kind, std::uint32_t{ASYNCDUMP_ANNOTATION_FREE});
            push_free(id);
            id = parent;
        }
    }

    /// Names or labels the frame around `subject` in the block of `slot`. Calls for one block must not run at
    /// the same time as its end; they may run at the same time as each other. False when the block is not
    /// live or there is no room.
    bool annotate(Slot slot, std::uintptr_t subject, Text name, Text label, asyncdump_counters& counters) {
        for (;;) {
            const std::uint8_t flags = load_acquire(*slot.flags);
            if (!asyncdump_is_live(flags)) return false;
            std::uint64_t creation = load_acquire(slot.record->creation);
            const std::uint32_t old = asyncdump_annotation_id(creation);
            const std::uint32_t chain = build_chain(old, subject, name, label);
            if (chain == 0) {
                count(counters.annotations_full);
                return false;
            }
            const std::uint64_t changed = (creation & ~std::uint64_t{0xffffff}) | chain;
            if (!compare_exchange(slot.record->creation, creation, changed)) {
                release(chain);
                continue;
            }
            __atomic_fetch_or(slot.flags, std::uint8_t{ASYNCDUMP_SLOT_ANNOTATED}, __ATOMIC_ACQ_REL);
            release(old);
            return true;
        }
    }

    asyncdump_annotation* get(std::uint32_t id) const {
        std::byte* chunk = chunks_.get((id >> kAnnotationChunkShift) & (kAnnotationChunks - 1));
        return reinterpret_cast<asyncdump_annotation*>(chunk) + (id & ((1u << kAnnotationChunkShift) - 1));
    }

    const void* chunk_directory() const { return chunks_.address(); }

  private:
    static constexpr unsigned kMaximumTasksOfBlock = ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN - 1;

    /// A new annotation for `subject`, then copies of the others of the block, then the scope, which is
    /// shared.
    std::uint32_t build_chain(std::uint32_t old, std::uintptr_t subject, Text name, Text label) {
        const std::uint32_t first = allocate(ASYNCDUMP_ANNOTATION_TASK, subject);
        if (first == 0) return 0;
        copy_text(get(first)->name, name);
        copy_text(get(first)->label, label);

        std::uint32_t last = first;
        std::uint32_t next = old;
        for (unsigned tasks = 1; next != 0; next = get(next)->parent) {
            const asyncdump_annotation* annotation = get(next);
            if (load_acquire(annotation->kind) == ASYNCDUMP_ANNOTATION_SCOPE) {
                retain(next);
                get(last)->parent = next;
                break;
            }
            if (annotation->subject == subject) {
                if (name.bytes == nullptr) copy_field(get(first)->name, annotation->name);
                if (label.bytes == nullptr) copy_field(get(first)->label, annotation->label);
                continue;
            }
            if (++tasks > kMaximumTasksOfBlock) continue;
            const std::uint32_t copy = allocate(ASYNCDUMP_ANNOTATION_TASK, annotation->subject);
            if (copy == 0) {
                release(first);
                return 0;
            }
            copy_field(get(copy)->name, annotation->name);
            copy_field(get(copy)->label, annotation->label);
            get(last)->parent = copy;
            last = copy;
        }
        return first;
    }

    std::uint32_t allocate(std::uint32_t kind, std::uintptr_t subject) {
        std::uint32_t id = pop_free();
        if (id == 0) id = fresh();
        if (id == 0) return 0;
        asyncdump_annotation* annotation = get(id);
        annotation->parent = 0;
        annotation->subject = subject;
        annotation->name[0] = 0;
        annotation->label[0] = 0;
        store_relaxed(annotation->references, 1u);
        store_release(annotation->kind, kind);
        return id;
    }

    std::uint32_t fresh() {
        std::uint32_t used = load_relaxed(used_);
        do {
            if (used + 1 >= kAnnotationChunks << kAnnotationChunkShift) return 0;
        } while (!compare_exchange(used_, used, used + 1));
        const std::uint32_t id = used + 1;  // id 0 means none
        return chunks_.get_or_add(id >> kAnnotationChunkShift) == nullptr ? 0 : id;
    }

    // A stack of free ids; the upper half counts operations, so that an id that left and came back is
    // noticed.
    void push_free(std::uint32_t id) {
        std::uint64_t head = load_relaxed(free_head_);
        do {
            store_relaxed(get(id)->next_free, static_cast<std::uint32_t>(head));
        } while (!compare_exchange(free_head_, head, ((head >> 32) + 1) << 32 | id));
    }

    std::uint32_t pop_free() {
        std::uint64_t head = load_acquire(free_head_);
        std::uint32_t id;
        std::uint32_t next;
        do {
            id = static_cast<std::uint32_t>(head);
            if (id == 0) return 0;
            next = load_relaxed(get(id)->next_free);
        } while (!compare_exchange(free_head_, head, ((head >> 32) + 1) << 32 | next));
        return id;
    }

    static void copy_text(char* field, Text text) {
        if (text.bytes == nullptr) return;
        const std::size_t length =
            text.length < ASYNCDUMP_NAME_BYTES ? text.length : std::size_t{ASYNCDUMP_NAME_BYTES} - 1;
        for (std::size_t i = 0; i < length; ++i) field[i] = text.bytes[i];
        field[length] = 0;
    }

    static void copy_field(char* field, const char* source) {
        for (std::size_t i = 0; i < ASYNCDUMP_NAME_BYTES; ++i) field[i] = source[i];
    }

    ChunkDirectory<kAnnotationChunks> chunks_;
    std::uint64_t free_head_;
    std::uint32_t used_;
};

}  // namespace asyncdump::agent
