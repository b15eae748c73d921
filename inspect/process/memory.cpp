#include "process/memory.h"

#include <algorithm>

#include "process/page.h"

namespace asyncdump {

std::size_t Memory::read_over_holes(RemoteAddress address, std::span<std::byte> destination) const {
    std::size_t end = read(address, destination);
    for (std::size_t done = end; done < destination.size();) {
        const std::size_t next = std::min(done + bytes_to_page_end(address + done), destination.size());
        std::memset(destination.data() + done, 0, next - done);
        done = next + read(address + next, destination.subspan(next));
        if (done != next) end = done;
    }
    return end;
}

}  // namespace asyncdump
