#include "runtimes/cpp20/wait_objects.h"

namespace asyncdump::cpp20 {
namespace {

/// Each costs a few reads of the running target before the stop.
constexpr std::size_t most_described = 100'000;
constexpr unsigned most_misses = 64;

}  // namespace

std::uint32_t WaitObjects::describe(std::size_t i, const Library& library, std::uint32_t general,
                                    std::vector<Awaiting>& awaitings) {
    ObjectPlace& known = places_[general];
    if (library.describe_object == nullptr || known.misses >= most_misses || described_ >= most_described)
        return general;
    ++described_;
    const WaitingFrame frame{set_.memory.read_words(set_.frames[i].range(), scratch_),
                             set_.frames[i].address,
                             set_.views[i],
                             set_.memory,
                             modules_,
                             surroundings_.now,
                             surroundings_.describe_descriptor};
    const std::string object = library.describe_object(frame, awaitings[general], known.place);
    if (object.empty()) {
        ++known.misses;
        return general;
    }
    const auto [entry, is_new] = known_.try_emplace({general, object}, awaitings.size());
    if (is_new) {
        Awaiting awaiting = awaitings[general];
        awaiting.summary += object;
        awaitings.push_back(std::move(awaiting));
    }
    return entry->second;
}

}  // namespace asyncdump::cpp20
