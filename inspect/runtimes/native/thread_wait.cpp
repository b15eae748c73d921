#include "runtimes/native/thread_wait.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "runtimes/native/futex_wait.h"

namespace asyncdump {
namespace {

/// What is read of an object lies at its futex word and behind it.
constexpr std::uint64_t futex_bytes = 64;
constexpr std::size_t most_polled = 512;
constexpr std::size_t most_told_descriptors = 4;
/// Larger numbers of a select(2) are not looked at.
constexpr std::uint64_t most_selected = FD_SETSIZE;
/// How far up the stack the function that made the system call is looked for.
constexpr std::size_t innermost_calls = 6;
constexpr std::size_t longest_path = 256;

struct Arguments {
    explicit Arguments(const Registers& registers)
        : first(registers.get(Registers::rdi)),
          second(registers.get(Registers::rsi)),
          third(registers.get(Registers::rdx)),
          fourth(registers.get(Registers::r10)),
          fifth(registers.get(Registers::r8)) {}
    std::uint64_t first, second, third, fourth, fifth;
};

/// A system call that waits for one descriptor, its first argument.
struct DescriptorCall {
    std::int64_t number;
    std::string_view words;
};
constexpr std::array descriptor_calls = {
    DescriptorCall{SYS_read, "read from"},       DescriptorCall{SYS_pread64, "read from"},
    DescriptorCall{SYS_readv, "read from"},      DescriptorCall{SYS_preadv, "read from"},
    DescriptorCall{SYS_preadv2, "read from"},    DescriptorCall{SYS_write, "write to"},
    DescriptorCall{SYS_pwrite64, "write to"},    DescriptorCall{SYS_writev, "write to"},
    DescriptorCall{SYS_pwritev, "write to"},     DescriptorCall{SYS_pwritev2, "write to"},
    DescriptorCall{SYS_recvfrom, "recvfrom on"}, DescriptorCall{SYS_recvmsg, "recvmsg on"},
    DescriptorCall{SYS_recvmmsg, "recvmmsg on"}, DescriptorCall{SYS_sendto, "sendto on"},
    DescriptorCall{SYS_sendmsg, "sendmsg on"},   DescriptorCall{SYS_sendmmsg, "sendmmsg on"},
    DescriptorCall{SYS_sendfile, "sendfile to"}, DescriptorCall{SYS_accept, "accept on"},
    DescriptorCall{SYS_accept4, "accept on"},    DescriptorCall{SYS_connect, "connect of"},
    DescriptorCall{SYS_fsync, "fsync of"},       DescriptorCall{SYS_fdatasync, "fdatasync of"},
    DescriptorCall{SYS_flock, "lock of"},        DescriptorCall{SYS_fcntl, "fcntl of"},
    DescriptorCall{SYS_ioctl, "ioctl of"},       DescriptorCall{SYS_io_uring_enter, "io_uring_enter on"},
    DescriptorCall{SYS_splice, "splice from"},   DescriptorCall{SYS_getdents64, "read from"},
};

ThreadWait io(std::string summary) {
    ThreadWait wait;
    wait.kind = "io";
    wait.summary = std::move(summary);
    return wait;
}

ThreadWait other(std::string summary) {
    ThreadWait wait;
    wait.kind = "other";
    wait.summary = std::move(summary);
    return wait;
}

/// "tcp socket fd 7 127.0.0.1:4711 -> 127.0.0.1:39214" of a number and what process/descriptors.h says of it.
std::string descriptor_words(int descriptor, const WaitSurroundings& surroundings) {
    const std::string description = surroundings.describe_descriptor(descriptor);
    if (description.empty()) return fmt::format("fd {}", descriptor);
    struct Kind {
        std::string_view prefix, words;
    };
    constexpr std::array kinds = {Kind{"listening unix socket ", "listening unix socket"},
                                  Kind{"unix socket ", "unix socket"},
                                  Kind{"udp socket ", "udp socket"},
                                  Kind{"socket ", "tcp socket"},
                                  Kind{"listening ", "listening tcp socket"},
                                  Kind{"file ", "file"},
                                  Kind{"memfd ", "memfd"}};
    for (const Kind& kind : kinds) {
        if (!description.starts_with(kind.prefix) || description == "listening unix socket") continue;
        return fmt::format("{} fd {} {}", kind.words, descriptor, description.substr(kind.prefix.size()));
    }
    return fmt::format("{} fd {}", description, descriptor);
}

/// mqueue(7): its descriptor is that of a file in a filesystem of its own.
std::string message_queue_words(int descriptor, const WaitSurroundings& surroundings) {
    constexpr std::string_view as_file = "file ";
    const std::string words = descriptor_words(descriptor, surroundings);
    return "message queue " + (words.starts_with(as_file) ? words.substr(as_file.size()) : words);
}

std::string duration_words(const timespec& time) {
    const double seconds = static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
    if (seconds >= 10) return fmt::format("{:.0f} s", seconds);
    if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
    return fmt::format("{:.3g} ms", seconds * 1000);
}

bool is_valid(const timespec& time) {
    return time.tv_sec >= 0 && time.tv_nsec >= 0 && time.tv_nsec < 1'000'000'000;
}

/// ", no timeout" or ", at most 200 ms": of a time limit in milliseconds, negative for none.
void add_limit(ThreadWait& wait, int milliseconds) {
    wait.has_time_limit = milliseconds >= 0;
    wait.summary +=
        milliseconds < 0
            ? ", no timeout"
            : fmt::format(", for at most {}",
                          duration_words({milliseconds / 1000, milliseconds % 1000 * 1'000'000L}));
}

void add_limit(ThreadWait& wait, std::uint64_t pointer) {
    wait.has_time_limit = pointer != 0;
    wait.summary += pointer == 0 ? ", no timeout" : ", with a time limit";
}

ThreadWait sleep_until(std::uint64_t clock, bool absolute, std::uint64_t pointer, const Memory& memory) {
    ThreadWait wait;
    wait.kind = "sleep";
    wait.has_time_limit = true;
    wait.summary = "a time to come";
    const auto request = memory.read_value<timespec>(RemoteAddress(pointer));
    if (!request || !is_valid(*request)) return wait;
    if (!absolute) {
        wait.summary = fmt::format("the end of a sleep of {}", duration_words(*request));
        return wait;
    }
    timespec now{};
    if (clock > CLOCK_BOOTTIME || ::clock_gettime(static_cast<clockid_t>(clock), &now) != 0) return wait;
    timespec left{request->tv_sec - now.tv_sec, request->tv_nsec - now.tv_nsec};
    if (left.tv_nsec < 0) {
        --left.tv_sec;
        left.tv_nsec += 1'000'000'000;
    }
    wait.summary = is_valid(left) ? fmt::format("the end of a sleep, {} left", duration_words(left))
                                  : "the end of a sleep";
    return wait;
}

std::string list_of(std::string_view call, std::span<const int> descriptors, std::size_t count,
                    const WaitSurroundings& surroundings) {
    if (count == 0) return fmt::format("{} without descriptors", call);
    if (descriptors.empty()) return fmt::format("{} on {} descriptors", call, count);
    std::string words = fmt::format("{} on ", call);
    for (std::size_t i = 0; i < std::min(descriptors.size(), most_told_descriptors); ++i) {
        words += (i == 0 ? "" : ", ") + descriptor_words(descriptors[i], surroundings);
    }
    if (count > most_told_descriptors) words += fmt::format(" and {} more", count - most_told_descriptors);
    return words;
}

ThreadWait polled(std::string_view call, const Arguments& arguments, const WaitSurroundings& surroundings) {
    std::vector<pollfd> entries(std::min<std::uint64_t>(arguments.second, most_polled));
    entries.resize(
        surroundings.memory.read(RemoteAddress(arguments.first), std::as_writable_bytes(std::span(entries))) /
        sizeof(pollfd));
    std::vector<int> descriptors;
    for (const pollfd& entry : entries) {
        if (entry.fd >= 0) descriptors.push_back(entry.fd);
    }
    const std::size_t ignored = entries.size() - descriptors.size();
    return io(list_of(call, descriptors, arguments.second - ignored, surroundings));
}

ThreadWait selected(std::string_view call, const Arguments& arguments, const WaitSurroundings& surroundings) {
    const std::uint64_t limit = std::min(arguments.first, most_selected);
    std::vector<int> descriptors;
    std::array<fd_set, 3> sets{};
    const std::array pointers = {arguments.second, arguments.third, arguments.fourth};
    for (std::size_t i = 0; i < sets.size(); ++i) {
        const std::size_t bytes = (limit + 63) / 64 * 8;
        if (pointers[i] == 0) continue;
        if (!surroundings.memory.read_all(RemoteAddress(pointers[i]),
                                          std::as_writable_bytes(std::span(&sets[i], 1)).first(bytes))) {
            return io(fmt::format("{} on descriptors below {}", call, arguments.first));
        }
    }
    for (int descriptor = 0; descriptor < static_cast<int>(limit); ++descriptor) {
        if (std::ranges::any_of(sets, [&](const fd_set& set) { return FD_ISSET(descriptor, &set); })) {
            descriptors.push_back(descriptor);
        }
    }
    return io(list_of(call, descriptors, descriptors.size(), surroundings));
}

/// Another process may be the one that sends, takes, or posts.
ThreadWait between_processes(std::string summary, std::uint64_t time_limit = 0) {
    ThreadWait wait = other(std::move(summary));
    wait.has_time_limit = time_limit != 0;
    wait.from_outside = true;
    wait.for_event = true;
    return wait;
}

ThreadWait opening(std::uint64_t path, const Memory& memory) {
    std::string text(longest_path, '\0');
    text.resize(memory.read(RemoteAddress(path), std::as_writable_bytes(std::span(text))));
    const auto end = text.find('\0');
    ThreadWait wait =
        io(end == text.npos ? "open of a file" : fmt::format("open of {}", text.substr(0, end)));
    wait.from_outside = true;
    return wait;
}

std::string_view words_of(const DescriptorCall& call, const Arguments& arguments) {
    const bool is_lock =
        call.number == SYS_fcntl && (arguments.second == F_SETLKW || arguments.second == F_OFD_SETLKW);
    return is_lock ? "lock of" : call.words;
}

AddressRange range(std::uint64_t address, std::uint64_t bytes) {
    const std::uint64_t end = address + bytes;
    return {RemoteAddress(address), RemoteAddress(end < address ? address : end)};
}

}  // namespace

std::int64_t blocked_call(const Registers& registers, std::span<const std::string_view> functions) {
    if (registers.system_call != SYS_restart_syscall) return registers.system_call;
    for (const std::string_view function : functions.first(std::min(functions.size(), innermost_calls))) {
        const std::string_view name = without_underscores(function);
        if (name.find("clock_nanosleep") != name.npos) return SYS_clock_nanosleep;
        if (name.find("nanosleep") != name.npos) return SYS_nanosleep;
        if (name.find("ppoll") != name.npos) return SYS_ppoll;
        if (name.find("poll") != name.npos && name.find("epoll") == name.npos) return SYS_poll;
        for (const std::string_view part : {"futex", "pthread_", "sem_", "lll_lock"}) {
            if (name.find(part) != name.npos) return SYS_futex;
        }
    }
    return registers.system_call;
}

std::vector<AddressRange> memory_of_wait(const Registers& registers) {
    const Arguments arguments(registers);
    // Of a restarted call it is not known here which one it was: the first argument's surroundings serve
    // most.
    switch (registers.system_call) {
        case SYS_futex:
        case SYS_restart_syscall:
            return {range(arguments.first, futex_bytes), range(arguments.third, sizeof(timespec))};
        case SYS_poll:
        case SYS_ppoll:
            return {range(arguments.first,
                          std::min<std::uint64_t>(arguments.second, most_polled) * sizeof(pollfd))};
        case SYS_select:
        case SYS_pselect6:
            return {range(arguments.second, sizeof(fd_set)), range(arguments.third, sizeof(fd_set)),
                    range(arguments.fourth, sizeof(fd_set))};
        case SYS_nanosleep:
            return {range(arguments.first, sizeof(timespec))};
        case SYS_clock_nanosleep:
            return {range(arguments.third, sizeof(timespec))};
        case SYS_open:
            return {range(arguments.first, longest_path)};
        case SYS_openat:
            return {range(arguments.second, longest_path)};
        default:
            return {};
    }
}

std::optional<ThreadWait> describe_wait(const Registers& registers,
                                        std::span<const std::string_view> functions,
                                        const WaitSurroundings& surroundings) {
    const std::int64_t call = blocked_call(registers, functions);
    const Arguments arguments(registers);
    const auto first_descriptor = static_cast<int>(arguments.first);
    ThreadWait wait;
    switch (call) {
        case SYS_futex:
            return describe_futex_wait(
                {RemoteAddress(arguments.first), arguments.second, arguments.third, arguments.fourth},
                functions, surroundings);
        case SYS_epoll_wait:
        case SYS_epoll_pwait:
            wait = io("epoll_wait on " + descriptor_words(first_descriptor, surroundings));
            add_limit(wait, static_cast<int>(arguments.fourth));
            return wait;
        case SYS_epoll_pwait2:
            wait = io("epoll_wait on " + descriptor_words(first_descriptor, surroundings));
            add_limit(wait, arguments.fourth);
            return wait;
        case SYS_poll:
            wait = polled("poll", arguments, surroundings);
            add_limit(wait, static_cast<int>(arguments.third));
            return wait;
        case SYS_ppoll:
            wait = polled("ppoll", arguments, surroundings);
            add_limit(wait, arguments.third);
            return wait;
        case SYS_select:
        case SYS_pselect6:
            wait = selected(call == SYS_select ? "select" : "pselect", arguments, surroundings);
            add_limit(wait, arguments.fifth);
            return wait;
        case SYS_nanosleep:
            return sleep_until(CLOCK_MONOTONIC, false, arguments.first, surroundings.memory);
        case SYS_clock_nanosleep:
            return sleep_until(arguments.first, (arguments.second & TIMER_ABSTIME) != 0, arguments.third,
                               surroundings.memory);
        case SYS_pause:
        case SYS_rt_sigsuspend:
        case SYS_rt_sigtimedwait:
            wait = other("a signal");
            wait.has_time_limit = call == SYS_rt_sigtimedwait && arguments.third != 0;
            // Who waits for one by name wants to be sent it.
            wait.from_outside = call == SYS_rt_sigtimedwait;
            return wait;
        case SYS_wait4:
        case SYS_waitid:
            return between_processes("the end of a child process");
        case SYS_msgrcv:
            return between_processes(fmt::format("a message in System V queue {}", arguments.first));
        case SYS_msgsnd:
            return between_processes(fmt::format("room in System V queue {}", arguments.first));
        case SYS_semop:
            return between_processes(fmt::format("System V semaphores {}", arguments.first));
        case SYS_semtimedop:
            return between_processes(fmt::format("System V semaphores {}", arguments.first),
                                     arguments.fourth);
        case SYS_mq_timedreceive:
            return between_processes("a message in " + message_queue_words(first_descriptor, surroundings),
                                     arguments.fifth);
        case SYS_mq_timedsend:
            return between_processes("room in " + message_queue_words(first_descriptor, surroundings),
                                     arguments.fifth);
        case SYS_open:
            return opening(arguments.first, surroundings.memory);
        case SYS_openat:
            return opening(arguments.second, surroundings.memory);
        default:
            break;
    }
    const auto known = std::ranges::find(descriptor_calls, call, &DescriptorCall::number);
    if (known == descriptor_calls.end()) return std::nullopt;
    return io(
        fmt::format("{} {}", words_of(*known, arguments), descriptor_words(first_descriptor, surroundings)));
}

}  // namespace asyncdump
