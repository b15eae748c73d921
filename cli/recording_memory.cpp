#include "cli/recording_memory.h"

#include <cstring>

namespace asyncdump {

std::size_t RecordingMemory::read(RemoteAddress address, std::span<std::byte> destination) const {
    if (held_.read_all(address, destination)) return destination.size();
    if (read_from_page(address, destination)) return destination.size();
    const std::size_t got = live_.read(address, destination);
    if (got > 0) {
        const std::lock_guard lock(mutex_);
        note({address, address + got});
    }
    return got;
}

bool RecordingMemory::read_from_page(RemoteAddress address, std::span<std::byte> destination) const {
    if (destination.empty() || destination.size() > bytes_to_page_end(address)) return false;
    const std::lock_guard lock(mutex_);
    const RemoteAddress begin = page_begin(address);
    auto known = pages_.find(begin.value());
    if (known == pages_.end()) {
        if (pages_.size() >= most_pages) return false;
        auto page = std::make_unique<Page>();
        if (!live_.read_all(begin, page->bytes)) return false;
        known = pages_.emplace(begin.value(), std::move(page)).first;
    }
    Page& page = *known->second;
    const auto offset = static_cast<std::size_t>(address - begin);
    std::memcpy(destination.data(), page.bytes.data() + offset, destination.size());
    // A word of which only a part is read is noted each time: its other bytes were not.
    bool is_noted = offset % 8 == 0 && destination.size() % 8 == 0;
    for (std::size_t word = offset / 8; is_noted && word < (offset + destination.size()) / 8; ++word)
        is_noted = page.noted[word];
    if (is_noted) return true;
    for (std::size_t word = (offset + 7) / 8; word < (offset + destination.size()) / 8; ++word)
        page.noted.set(word);
    note({address, address + destination.size()});
    return true;
}

void RecordingMemory::note(AddressRange range) const {
    if (recorded_.size() < most_ranges) recorded_.push_back(range);
}

std::vector<AddressRange> RecordingMemory::take_recorded() {
    const std::lock_guard lock(mutex_);
    pages_.clear();
    return std::move(recorded_);
}

}  // namespace asyncdump
