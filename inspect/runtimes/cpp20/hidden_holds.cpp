#include "runtimes/cpp20/hidden_holds.h"

#include <atomic>
#include <cstring>

#include "process/read_blocks.h"
#include "process/word_filter.h"
#include "runtimes/cpp20/frame_index.h"

namespace asyncdump::cpp20 {
namespace {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);

/// Looks at the words that begin at each byte.
class ByteReader {
  public:
    ByteReader(const FrameIndex& index, std::span<const AddressRange> frames,
               std::vector<std::atomic<bool>>& found, bool whole_words_too)
        : index_(&index), frames_(frames), found_(&found), whole_words_too_(whole_words_too) {}

    void operator()(const MemoryBlock& block) {
        // A word may begin in the block before.
        bytes_.resize(block.words.size_bytes() + word_bytes);
        std::memcpy(bytes_.data(), &last_word_, word_bytes);
        std::memcpy(bytes_.data() + word_bytes, block.words.data(), block.words.size_bytes());
        last_word_ = block.words.back();
        shifted_.resize(block.words.size());
        for (std::size_t shift = 1; shift < word_bytes + (whole_words_too_ ? 1 : 0); ++shift) {
            std::memcpy(shifted_.data(), bytes_.data() + shift, block.words.size_bytes());
            // The first word lies partly before the block, which may follow on nothing.
            if (!block.continues && shift < word_bytes) shifted_.front() = 0;
            look_at(block.begin - word_bytes + shift);
        }
    }

  private:
    void look_at(RemoteAddress begin) {
        offsets_.clear();
        index_->sieve(shifted_, all_bits, offsets_);
        for (const std::uint32_t offset : offsets_) {
            const std::uint32_t frame = index_->find(shifted_[offset]);
            if (frame == FrameIndex::none || frames_[frame].contains(begin + offset * word_bytes)) continue;
            (*found_)[frame].store(true, std::memory_order_relaxed);
        }
    }

    const FrameIndex* index_;
    std::span<const AddressRange> frames_;
    std::vector<std::atomic<bool>>* found_;
    bool whole_words_too_;
    std::vector<std::byte> bytes_;
    std::vector<std::uint64_t> shifted_;
    std::vector<std::uint32_t> offsets_;
    std::uint64_t last_word_ = 0;
};

}  // namespace

std::vector<bool> find_hidden_holds(const HiddenHoldSources& sources, std::span<const AddressRange> frames,
                                    unsigned workers) {
    const FrameIndex index(frames);
    std::vector<std::atomic<bool>> found(frames.size());
    std::vector readers(workers, ByteReader(index, frames, found, sources.whole_words_too));
    read_blocks(sources.memory, sources.ranges, std::span(readers));
    return {found.begin(), found.end()};
}

}  // namespace asyncdump::cpp20
