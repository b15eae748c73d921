#include "process/live_memory.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "process/access.h"
#include "process/page.h"
#include "process/process_info.h"
#include "process/procfs.h"

namespace asyncdump {
namespace {

constexpr std::size_t ranges_per_call = IOV_MAX;
// The kernel moves at most 2^31 - 4096 bytes in one call; below that, a cancelled run ends sooner.
constexpr std::size_t bytes_per_call = 256 << 20;

/// Of `size` bytes at `address`, those that lie inside the address space.
std::size_t without_wrap(RemoteAddress address, std::size_t size) {
    const std::uint64_t above = ~address.value();
    return size <= above ? size : static_cast<std::size_t>(above);
}

iovec remote_range(RemoteAddress address, std::size_t size) {
    return {reinterpret_cast<void*>(address.value()), size};
}

}  // namespace

Result<LiveMemory> LiveMemory::open(pid_t pid) {
    const pid_t tid = living_thread(pid);
    FileDescriptor mem(::open(procfs::path(tid, "mem").c_str(), O_RDONLY | O_CLOEXEC));
    if (!mem) return tl::unexpected<Error>(explain_refused_access(pid, errno));
    return LiveMemory(pid, tid, std::move(mem));
}

std::size_t LiveMemory::read(RemoteAddress address, std::span<std::byte> destination) const {
    const std::size_t size = without_wrap(address, destination.size());
    std::size_t done = 0;
    std::size_t step = bytes_per_call;
    while (done < size) {
        const std::size_t wanted = std::min(step, size - done);
        const std::size_t copied = read_once(address + done, destination.subspan(done, wanted));
        done += copied;
        if (copied != 0) continue;
        // The transfer may have ended at the border of what was asked for instead of at the missing page: the
        // manual promises no more. Go page by page from here.
        const std::size_t to_page_end = bytes_to_page_end(address + done);
        if (wanted <= to_page_end) break;
        step = to_page_end;
        const std::size_t first = read_once(address + done, destination.subspan(done, to_page_end));
        if (first == 0) break;
        done += first;
        step = page_size;
    }
    return done;
}

std::size_t LiveMemory::read_once(RemoteAddress address, std::span<std::byte> destination) const {
    const iovec local{destination.data(), destination.size()};
    const iovec remote = remote_range(address, destination.size());
    ssize_t count = ::process_vm_readv(tid_, &local, 1, &remote, 1, 0);
    // EFAULT speaks of the memory; everything else of the call: a filter that forbids it, a main thread that
    // has ended since. The open file still leads to the same memory.
    if (count < 0 && errno != EFAULT)
        count =
            ::pread(mem_.get(), destination.data(), destination.size(), static_cast<off_t>(address.value()));
    return count < 0 ? 0 : static_cast<std::size_t>(count);
}

void LiveMemory::read_many(std::span<CopyRequest> requests) const {
    std::array<iovec, ranges_per_call> local;
    std::array<iovec, ranges_per_call> remote;
    std::size_t largest_batch = ranges_per_call;
    std::size_t next = 0;
    while (next < requests.size()) {
        std::size_t batch_end = next;
        std::size_t bytes = 0;
        while (batch_end - next < largest_batch && batch_end < requests.size()) {
            const CopyRequest& request = requests[batch_end];
            const std::size_t size = request.destination.size();
            if (size > bytes_per_call - bytes || size > without_wrap(request.address, size)) break;
            local[batch_end - next] = {request.destination.data(), size};
            remote[batch_end - next] = remote_range(request.address, size);
            bytes += size;
            ++batch_end;
        }
        const std::size_t count = batch_end - next;
        const ssize_t result = ::process_vm_readv(tid_, local.data(), count, remote.data(), count, 0);
        std::size_t copied = result < 0 ? 0 : static_cast<std::size_t>(result);
        for (; next < batch_end && requests[next].destination.size() <= copied; ++next) {
            requests[next].copied = requests[next].destination.size();
            copied -= requests[next].copied;
        }
        if (next == batch_end && count != 0) {
            largest_batch = std::min(largest_batch * 2, ranges_per_call);
            continue;
        }
        // The transfer ended inside this request, or it is too large for a batch. Where one range is missing
        // others often are: a small batch next, so that not every missing one costs the setting-up of a large
        // one.
        CopyRequest& request = requests[next];
        request.copied = copied + read(request.address + copied, request.destination.subspan(copied));
        if (count != 0) largest_batch = std::max<std::size_t>(largest_batch / 8, 1);
        ++next;
    }
}

}  // namespace asyncdump
