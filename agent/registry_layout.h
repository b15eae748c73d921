/* The layout of the registry that libasyncdump-agent.so keeps inside a target: the one header of agent/ that
 * others include. Plain C, fixed-width types, no pointers: a reader works on copied bytes and trusts none of
 * them.
 *
 * WHERE IT IS
 *   The agent exports one object, `asyncdump_registry`, of type asyncdump_registry_header. It is the only
 * exported symbol besides the allocation functions. Everything else is reached through its addresses.
 *
 * WHAT IT HOLDS
 *   - One slot for every granule (32 bytes) of address space near a registered block. A slot is one flags
 * byte and one record of two words. The block that begins in a granule owns that granule's slot: there is no
 * free list, no tombstone and nothing to clean up when a thread ends. region number = address >> region_shift
 * (1 GiB)   region_table[number]: address of a leaf table leaf number   = (address >> leaf_shift) & mask (128
 * KiB) leaf table[number]:   address of a leaf granule       = (address >> granule_shift) & mask  (32 B) leaf
 * + granule:       the flags byte leaf + record_offset + granule * record_size:         the record An address
 * of 0 at either level means that nothing was ever registered there. `region_list` names the used regions, so
 * that a reader need not copy the whole region table.
 *   - Origins: interned creation stacks (return addresses, innermost first). Entry 0 is the allocation site.
 *   - Annotations: names, labels and scopes from asyncdump/annotate.h.
 *   - Sites: what the agent has concluded about each place that allocates.
 *
 * WHAT AN ENTRY CLAIMS
 *   "A block of this size that may be or contain a coroutine frame begins here and is not freed." No more:
 *   - Entries of sites that are still being judged, and of sites that allocate other things too, hold no
 * frame. The reader verifies every block by its content.
 *   - A frame may lie behind the block's beginning (a promise's own operator new with a header before the
 * frame, an over-aligned frame in a block that clang aligned by hand), and further frames may be nested
 * inside it (elided allocations): look inside [address, address + size).
 *   - A block that a library keeps and uses again (Boost.Asio's recycling) has one entry with the data of its
 * first use, also while no frame is in it.
 *   - An entry can outlive its block when the block was freed by a function that is not hooked.
 *
 * READING
 *   Threads stopped (ptrace, core file): every slot is whole. An insertion writes the record first and the
 * flags byte last; a removal writes only the flags byte. A thread can be stopped between operator new and the
 * frame's first stores: the second word of every recorded block is set to 0 before the slot becomes live, so
 * that what stood there before is never taken for a frame. Threads running: copy flags, record, the block's
 * bytes, then flags and record again; believe only what was the same twice. A region may appear in
 * `region_list` before `region_table` has it (skip it), and twice (skip the second).
 *
 * VERSIONS
 *   A reader checks `magic` and `version_major`. Within a major version structures only grow at their end: a
 * reader copies min(declared size, its own sizeof), takes what is missing as 0, ignores what it does not
 * know, and steps by the declared sizes. Geometry and sizes are always taken from the header, within the
 *   limits given at each field; outside of them the registry is malformed.
 *
 * INCOMPLETE
 *   asyncdump_is_incomplete() says when frames may be missing, so that memory has to be scanned as well.
 *   One limit is not visible in it: a site is taken as `plain` after eight blocks of one size class from it
 * that were no frames. If a wrapper then returns a frame of that same size class, the frame is missed unless
 * one of the agent's samples of blocks from plain sites hits it; `late_verdicts` counts those hits.
 */
#ifndef ASYNCDUMP_REGISTRY_LAYOUT_H
#define ASYNCDUMP_REGISTRY_LAYOUT_H

#include <stdint.h>

#define ASYNCDUMP_REGISTRY_SYMBOL "asyncdump_registry"

#ifdef __cplusplus
#define ASYNCDUMP_DECODER constexpr
extern "C" {
#else
#define ASYNCDUMP_DECODER static inline
#endif

enum { ASYNCDUMP_VERSION_MAJOR = 1, ASYNCDUMP_VERSION_MINOR = 0 };
#define ASYNCDUMP_REGISTRY_MAGIC UINT64_C(0x6d7564636e797361) /* "asyncdum" in memory order */

/* asyncdump_registry_header.state: an empty registry and one that does not record are different things. */
enum {
    ASYNCDUMP_STATE_STARTING = 0,  /* loaded, its constructor has not run; blocks are already recorded */
    ASYNCDUMP_STATE_RECORDING = 1, /* what reaches a hook is recorded */
    ASYNCDUMP_STATE_UNHOOKED = 2   /* loaded, but no module calls its operator new */
};

/* asyncdump_registry_header.flags */
enum {
    /* The dynamic linker binds operator new to the agent. */
    ASYNCDUMP_FLAG_INTERPOSED = 1u << 0,
    /* The executable defines operator new itself (an own one, a static libstdc++, jemalloc or tcmalloc). */
    ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW = 1u << 1,
    /* A library that comes before the agent defines operator new (an allocator preloaded before it). */
    ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW = 1u << 2,
    /* The executable does not import operator new: it is C, or has linked its own statically and hidden. */
    ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW = 1u << 3,
    /* operator new and delete call malloc and free without the detour through the C++ library. */
    ASYNCDUMP_FLAG_DIRECT = 1u << 4,
    /* An injector has patched the modules that were loaded then; modules loaded since are not hooked. */
    ASYNCDUMP_FLAG_PATCHED = 1u << 5,
    /* malloc, calloc and realloc are recorded too (option malloc=1). */
    ASYNCDUMP_FLAG_MALLOC = 1u << 6,
    /* This process came from fork: entries made before it carry thread ids of the parent process. */
    ASYNCDUMP_FLAG_FORKED = 1u << 7
};

/* A slot's flags byte. All other combinations of bits 0 to 3 without LIVE mean: no block. */
enum {
    ASYNCDUMP_SLOT_LIVE = 1u << 0,
    ASYNCDUMP_SLOT_UNSETTLED = 1u << 1, /* its site is being judged; of no concern to a reader */
    ASYNCDUMP_SLOT_EXAMINED =
        1u << 2, /* a thread of the target is looking at it; of no concern to a reader */
    ASYNCDUMP_SLOT_ANNOTATED = 1u << 3, /* the record's annotation id is valid */
    ASYNCDUMP_SLOT_OFFSET_SHIFT = 4,    /* two bits: the block begins at granule + 8 * offset */
    ASYNCDUMP_SLOT_MALLOC = 1u << 6,    /* obtained from malloc's family, not from operator new */
    ASYNCDUMP_SLOT_EXPLICIT = 1u << 7   /* registered by the program or an injector: no hook sees its end */
};

/* A site's state: the two low bits of asyncdump_site.key. */
enum {
    ASYNCDUMP_SITE_UNKNOWN = 0, /* being judged; its blocks are registered */
    ASYNCDUMP_SITE_FRAME = 1,   /* its blocks are registered */
    ASYNCDUMP_SITE_MIXED = 2,   /* frames and other things; its blocks are registered */
    ASYNCDUMP_SITE_PLAIN = 3    /* its blocks are not registered, but for samples */
};

/* asyncdump_annotation.kind */
enum {
    ASYNCDUMP_ANNOTATION_FREE = 0,
    ASYNCDUMP_ANNOTATION_TASK = 1, /* name and label of the frame that contains `subject` */
    ASYNCDUMP_ANNOTATION_SCOPE = 2 /* the block was created under `name` */
};

enum {
    ASYNCDUMP_MAXIMUM_STACK_DEPTH = 32, /* return addresses in an origin */
    ASYNCDUMP_NAME_BYTES = 48,          /* of a name or a label, with the terminating zero */
    ASYNCDUMP_MAXIMUM_ANNOTATION_CHAIN = 16,
    ASYNCDUMP_MAXIMUM_SCOPE_DEPTH = 64
};

/* An array in the target. */
struct asyncdump_part {
    uint64_t address;
    uint64_t count; /* entries, used or not; an unused entry is all zero */
    uint32_t entry_size;
    uint32_t reserved;
};

/* Written when something could not be recorded. Never reset; increments may be read late, never early. */
struct asyncdump_counters {
    uint64_t dropped_no_memory; /* blocks not registered: the kernel gave no memory for a leaf */
    uint64_t dropped_outside;   /* blocks not registered: their address has more bits than address_bits */
    uint64_t
        dropped_collisions;    /* explicit frames not registered: another block begins in the same granule */
    uint64_t replaced;         /* stale entries that a new block at the same place replaced; hides nothing */
    uint64_t sites_full;       /* allocations whose site found no entry; they are registered all the same */
    uint64_t origins_full;     /* creation stacks not kept: the record has its site or no origin at all */
    uint64_t annotations_full; /* names, labels and scopes not kept */
    uint64_t late_verdicts;    /* frames found by sampling at sites thought plain: earlier ones are missing */
    uint64_t
        misnested_scopes; /* scopes that ended on another thread or out of order: `--under` may be wrong */
};

struct asyncdump_record {
    uint64_t identity; /* size code (bits 46-63), origin id (22-45), creating thread (0-21) */
    uint64_t creation; /* time (bits 24-63), annotation id (0-23) */
};

struct asyncdump_site {
    uint64_t key; /* hash of return address and size class; the state in the two low bits */
    uint32_t
        votes; /* plain votes (bits 0-3), frame votes (4-7), the agent's own (8-15), size class (16-31) */
    uint32_t origin; /* an origin of depth 1, the return address; 0: none yet */
};

/* Followed by `depth` return addresses (uint64_t). A return address points behind its call. The addresses
 * were collected by frame pointers: code without them yields short stacks and, rarely, a wrong older entry.
 */
struct asyncdump_origin {
    uint32_t depth; /* 1 to ASYNCDUMP_MAXIMUM_STACK_DEPTH */
    uint32_t reserved;
};

/* Immutable while anything refers to it. Text is whatever bytes the program gave, ended by a zero or by the
 * field. */
struct asyncdump_annotation {
    uint32_t references;
    uint32_t kind;
    uint32_t parent; /* id of the next annotation of the same block, or of the enclosing scope; 0: none */
    uint32_t next_free;
    uint64_t subject; /* TASK: an address inside the named frame. Not inside the block: stale, ignore */
    uint64_t reserved;
    char name[ASYNCDUMP_NAME_BYTES];
    char label[ASYNCDUMP_NAME_BYTES];
};

struct asyncdump_region_list {
    uint32_t count; /* may exceed the number of entries written so far: an entry of 0 is not written yet */
    uint32_t reserved;
    uint32_t numbers_plus_one[1 << 17];
};

/* For an injector: where a slot of the global offset table binds `name`, put `address`. Patch all entries of
 * phase 0 (what frees) before those of phase 1 (what allocates), so that no block is registered whose end is
 * missed. */
struct asyncdump_hook {
    uint64_t name; /* address of a zero-terminated symbol name, at most 63 bytes */
    uint64_t address;
    uint32_t phase; /* 0 frees, 1 allocates, 2 data (asyncdump_registry itself, for asyncdump/annotate.h) */
    uint32_t needs; /* 0, or the ASYNCDUMP_FLAG_ without which this entry is not to be patched */
};

/* For an injector: frames that existed before. */
struct asyncdump_block {
    uint64_t address;
    uint64_t size;
};

struct asyncdump_registry_header {
    uint64_t magic;
    uint16_t version_major;
    uint16_t version_minor;
    uint32_t header_size;
    uint64_t annotation_functions; /* address of asyncdump_annotation_functions (asyncdump/annotate.h) */
    uint32_t state;
    uint32_t flags;
    uint32_t process_id;  /* as the target sees it; differs from the target's id after a bare clone() */
    uint32_t stack_depth; /* return addresses kept for a block, 0 to 32; 0: the allocation site only */
    uint64_t started;     /* when the agent started, in units of the clock */

    /* Creation times count units of clock_unit_ns of clock_id (CLOCK_MONOTONIC_COARSE, which counts like
     * CLOCK_MONOTONIC and lags it by up to 10 ms), as the target sees it (time namespace). 40 bits of
     * milliseconds last for 34 years of uptime, so nothing wraps. Age = CLOCK_MONOTONIC now - time. 0:
     * unknown. */
    uint32_t clock_id;
    uint32_t clock_unit_ns;

    uint32_t region_shift;  /* 30 */
    uint32_t leaf_shift;    /* 17; granule_shift < leaf_shift < region_shift */
    uint32_t granule_shift; /* 5 */
    uint32_t address_bits;  /* 47 */
    uint32_t record_offset; /* of the first record from the leaf's begin; at least 1 << (leaf_shift -
                               granule_shift) */
    uint32_t record_size;   /* 16 or more */
    uint32_t minimum_block; /* smaller blocks are not registered: no frame is so small */
    uint32_t reserved_1;

    struct asyncdump_part region_list; /* one asyncdump_region_list; entry_size is its size */
    struct asyncdump_part
        region_table; /* uint64_t: address of a leaf table of 1 << (region_shift - leaf_shift) addresses */
    struct asyncdump_part sites; /* asyncdump_site */
    /* uint64_t: address of a chunk of origins. id = (chunk << origin_chunk_shift) + position / origin_unit.
     */
    struct asyncdump_part origin_chunks;
    uint32_t origin_chunk_shift;     /* 16 */
    uint32_t origin_unit;            /* 16 bytes */
    uint32_t origin_header_size;     /* of asyncdump_origin; the return addresses follow it */
    uint32_t annotation_chunk_shift; /* 13 */
    /* uint64_t: address of a chunk of annotations. id = (chunk << annotation_chunk_shift) + index in the
     * chunk. */
    struct asyncdump_part annotation_chunks;
    uint32_t annotation_size; /* of asyncdump_annotation */
    uint32_t reserved_2;
    struct asyncdump_part counters; /* one asyncdump_counters */
    struct asyncdump_part hooks;    /* asyncdump_hook */

    /* Functions for an injector, called in the target on a thread that is at a safe point.
     * uint64_t adopt(const asyncdump_block*, uint64_t count): registers blocks, returns how many.
     * void announce_patched(void): sets PATCHED and state RECORDING, after all slots were patched. */
    uint64_t adopt;
    uint64_t announce_patched;
};

/* ---- Decoding of copied bytes ---- */

#define ASYNCDUMP_SIZE_UNKNOWN UINT64_MAX

ASYNCDUMP_DECODER int asyncdump_is_live(uint8_t slot_flags) {
    return (slot_flags & ASYNCDUMP_SLOT_LIVE) != 0;
}

ASYNCDUMP_DECODER int asyncdump_is_annotated(uint8_t slot_flags) {
    return (slot_flags & (ASYNCDUMP_SLOT_LIVE | ASYNCDUMP_SLOT_ANNOTATED)) ==
           (ASYNCDUMP_SLOT_LIVE | ASYNCDUMP_SLOT_ANNOTATED);
}

/* Bytes from the granule's begin to the block's. */
ASYNCDUMP_DECODER uint64_t asyncdump_granule_offset(uint8_t slot_flags) {
    return (uint64_t)((slot_flags >> ASYNCDUMP_SLOT_OFFSET_SHIFT) & 3u) * 8u;
}

/* The address of the block whose slot is `granule` of leaf `leaf` of region `region`. */
ASYNCDUMP_DECODER uint64_t asyncdump_block_address(const struct asyncdump_registry_header* header,
                                                   uint64_t region, uint64_t leaf, uint64_t granule,
                                                   uint8_t slot_flags) {
    return (region << header->region_shift) + (leaf << header->leaf_shift) +
           (granule << header->granule_shift) + asyncdump_granule_offset(slot_flags);
}

/* Sizes up to 65535 are exact; up to 512 KiB rounded up to 8, to 4 MiB rounded up to 64, to 256 MiB rounded
 * up to 4096. ASYNCDUMP_SIZE_UNKNOWN: larger, or never known. */
ASYNCDUMP_DECODER uint64_t asyncdump_size(uint64_t identity) {
    const uint64_t code = identity >> 46;
    const uint64_t mantissa = code & 0xffffu;
    const uint64_t scale = code >> 16;
    return code == 0x3ffffu ? ASYNCDUMP_SIZE_UNKNOWN
           : scale == 0     ? mantissa
           : scale == 1     ? mantissa << 3
           : scale == 2     ? mantissa << 6
                            : mantissa << 12;
}

/* 0: unknown. */
ASYNCDUMP_DECODER uint32_t asyncdump_origin_id(uint64_t identity) {
    return (uint32_t)(identity >> 22) & 0xffffffu;
}

/* The creating thread's id as gettid() gave it in the target; 0: unknown. */
ASYNCDUMP_DECODER uint32_t asyncdump_thread(uint64_t identity) {
    return (uint32_t)identity & 0x3fffffu;
}

/* In units of the header's clock; 0: unknown. */
ASYNCDUMP_DECODER uint64_t asyncdump_time(uint64_t creation) {
    return creation >> 24;
}

/* Valid when asyncdump_is_annotated(); 0: none. */
ASYNCDUMP_DECODER uint32_t asyncdump_annotation_id(uint64_t creation) {
    return (uint32_t)creation & 0xffffffu;
}

ASYNCDUMP_DECODER uint32_t asyncdump_site_state(uint64_t site_key) {
    return (uint32_t)site_key & 3u;
}

/* Sites are judged for each return address and size class: the size in units of 8 up to 1024 bytes; above,
 * sixteen classes for each power of two. */
ASYNCDUMP_DECODER uint32_t asyncdump_site_size_class(uint32_t votes) {
    return votes >> 16;
}

/* True when frames may exist that no entry tells of, so that memory has to be scanned as well. */
ASYNCDUMP_DECODER int asyncdump_is_incomplete(const struct asyncdump_registry_header* header,
                                              const struct asyncdump_counters* counters) {
    return header->state != ASYNCDUMP_STATE_RECORDING ||
           (header->flags &
            (ASYNCDUMP_FLAG_EXECUTABLE_DEFINES_NEW | ASYNCDUMP_FLAG_OTHER_LIBRARY_DEFINES_NEW |
             ASYNCDUMP_FLAG_EXECUTABLE_IMPORTS_NO_NEW | ASYNCDUMP_FLAG_PATCHED)) != 0 ||
           counters->dropped_no_memory != 0 || counters->dropped_outside != 0 ||
           counters->dropped_collisions != 0 || counters->late_verdicts != 0;
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
