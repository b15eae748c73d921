// What is known of the places that allocate. A site is a return address with a size class: a wrapper that is
// shared by frames and other blocks is judged for each size class on its own, and frames of one coroutine
// function have one size.
//
// A verdict can be wrong: when eight blocks of one site were plain, later frames of the same size class from
// it are missed until a sample finds one (then the site is mixed for good, and late_verdicts says that frames
// are missing). A site is taken as a frame's site after two frames; that costs time only if it is wrong.
#pragma once

#include <cstddef>
#include <cstdint>

#include "atomics.h"
#include "registry_layout.h"

namespace asyncdump::agent {

inline constexpr std::size_t kSites = std::size_t{1} << 16;
inline constexpr std::uint32_t kPlainVotesForPlain = 8;
inline constexpr std::uint32_t kFrameVotesForFrame = 2;

inline constexpr std::size_t kLargestFinelyClassed = 1024;

/// See asyncdump_site_size_class().
inline std::uint64_t size_class(std::size_t size) {
    if (size <= kLargestFinelyClassed) [[likely]]
        return (size + 7) >> 3;
    const auto magnitude = static_cast<unsigned>(63 - __builtin_clzll(size));
    return 129 + (magnitude - 10) * 16 + ((size >> (magnitude - 4)) & 15);
}

/// Multiplication by an odd constant is a bijection: two sites share a key only if they differ in nothing but
/// the two low bits of the product, which hold the state and are set here.
inline std::uint64_t site_key(std::uintptr_t return_address, std::uint64_t class_of_size) {
    return ((class_of_size << 47) + return_address) * 0x9e3779b97f4a7c15u | ASYNCDUMP_SITE_PLAIN;
}

class SiteTable {
  public:
    /// The hot question. False also when it is merely not known.
    bool is_plain(std::uint64_t key) const { return load_relaxed(home_of(key).key) == key; }

    /// The site when its blocks are registered without being judged. Null also when it is merely not known.
    const asyncdump_site* find_settled(std::uint64_t key) const {
        const asyncdump_site& home = home_of(key);
        const std::uint64_t difference =
            load_relaxed(home.key) ^ key;  // of the two low bits, when it is this site
        constexpr std::uint64_t frame = ASYNCDUMP_SITE_PLAIN ^ ASYNCDUMP_SITE_FRAME;
        constexpr std::uint64_t mixed = ASYNCDUMP_SITE_PLAIN ^ ASYNCDUMP_SITE_MIXED;
        return difference == frame || difference == mixed ? &home : nullptr;
    }

    /// Null when the neighbourhood is full.
    [[gnu::always_inline]] asyncdump_site* find_or_add(std::uint64_t key, std::size_t size) {
        asyncdump_site& home = sites_[index_of(key)];
        if ((load_acquire(home.key) | ASYNCDUMP_SITE_PLAIN) == key) [[likely]]
            return &home;
        return find_or_add_elsewhere(key, size_class(size));
    }

    static std::uint32_t state_of(const asyncdump_site& site) {
        return asyncdump_site_state(load_relaxed(site.key));
    }

    /// Counts one judged block of the site. Returns true when a frame was found at a site that was thought
    /// plain.
    static bool vote(asyncdump_site& site, bool frame) {
        std::uint32_t votes = load_relaxed(site.votes);
        std::uint32_t counted;
        do {
            counted = votes;
            if (frame && frame_votes(votes) < kMostVotes) counted += 1u << 4;
            if (!frame && plain_votes(votes) < kMostVotes) counted += 1u;
        } while (!compare_exchange(site.votes, votes, counted));

        std::uint64_t key = load_relaxed(site.key);
        for (;;) {
            const std::uint32_t state = asyncdump_site_state(key);
            std::uint32_t verdict = state;
            if (state == ASYNCDUMP_SITE_PLAIN) {
                if (frame) verdict = ASYNCDUMP_SITE_MIXED;
            } else if (frame_votes(counted) != 0 && plain_votes(counted) != 0) {
                verdict = ASYNCDUMP_SITE_MIXED;
            } else if (frame_votes(counted) >= kFrameVotesForFrame) {
                verdict = ASYNCDUMP_SITE_FRAME;
            } else if (plain_votes(counted) >= kPlainVotesForPlain) {
                verdict = ASYNCDUMP_SITE_PLAIN;
            }
            if (verdict == state) return false;
            if (compare_exchange(site.key, key, (key & ~std::uint64_t{ASYNCDUMP_SITE_PLAIN}) | verdict))
                return state == ASYNCDUMP_SITE_PLAIN;
        }
    }

    /// How deep the stacks of this site are worth walking; 32 until entries behind that turned out to be no
    /// return addresses several times.
    static std::size_t useful_depth(const asyncdump_site& site) {
        const std::uint32_t limit = (load_relaxed(site.votes) >> 8) & 31;
        return limit == 0 ? std::size_t{ASYNCDUMP_MAXIMUM_STACK_DEPTH} : limit;
    }

    /// The entries from `depth` (1 or more) on were no return addresses.
    static void note_false_stack(asyncdump_site& site, std::size_t depth) {
        std::uint32_t votes = load_relaxed(site.votes);
        std::uint32_t noted;
        do {
            noted = votes;
            const std::uint32_t times = (votes >> 13) & 7;
            const std::uint32_t limit = (votes >> 8) & 31;
            if (times < 7)
                noted += 1u << 13;
            else if (depth < 32 && (limit == 0 || depth < limit))
                noted = (votes & ~(31u << 8)) | static_cast<std::uint32_t>(depth) << 8;
        } while (!compare_exchange(site.votes, votes, noted));
    }

    const asyncdump_site* sites() const { return sites_; }

  private:
    [[gnu::noinline]] asyncdump_site* find_or_add_elsewhere(std::uint64_t key, std::uint64_t class_of_size) {
        for (std::size_t i = 0; i < kProbes; ++i) {
            asyncdump_site& site = sites_[(index_of(key) + i) & (kSites - 1)];
            std::uint64_t found = load_acquire(site.key);
            if (found == 0) {
                // A reader may see the class a moment after the key.
                if (compare_exchange(site.key, found, key & ~std::uint64_t{ASYNCDUMP_SITE_PLAIN})) {
                    __atomic_fetch_or(&site.votes, static_cast<std::uint32_t>(class_of_size << 16),
                                      __ATOMIC_RELAXED);
                    return &site;
                }
            }
            if ((found | ASYNCDUMP_SITE_PLAIN) == key) return &site;
        }
        return nullptr;
    }

    static constexpr std::size_t kProbes = 8;
    static constexpr std::uint32_t kMostVotes = 15;

    static std::uint32_t plain_votes(std::uint32_t votes) { return votes & 15; }
    static std::uint32_t frame_votes(std::uint32_t votes) { return (votes >> 4) & 15; }
    static std::size_t index_of(std::uint64_t key) { return key >> 48; }
    const asyncdump_site& home_of(std::uint64_t key) const { return sites_[index_of(key)]; }

    asyncdump_site sites_[kSites];
};

}  // namespace asyncdump::agent
