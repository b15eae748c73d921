#include "cli/recording_memory.h"

namespace asyncdump {

std::size_t RecordingMemory::read(RemoteAddress address, std::span<std::byte> destination) const {
    if (held_.read_all(address, destination)) return destination.size();
    const std::size_t got = live_.read(address, destination);
    if (got > 0) {
        const std::lock_guard lock(mutex_);
        if (recorded_.size() < most_ranges) recorded_.push_back({address, address + got});
    }
    return got;
}

std::vector<AddressRange> RecordingMemory::take_recorded() {
    const std::lock_guard lock(mutex_);
    return std::move(recorded_);
}

}  // namespace asyncdump
