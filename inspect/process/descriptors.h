#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <unordered_map>

namespace asyncdump {

/// Describes many descriptors of one process as describe_descriptor() does, and reads the tables of sockets
/// only once, when the first socket is asked for. Not safe for concurrent use.
class Descriptors {
  public:
    explicit Descriptors(pid_t pid) : pid_(pid) {}

    std::string describe(int descriptor);

  private:
    void read_socket_tables();

    pid_t pid_;
    bool socket_tables_read_ = false;
    std::unordered_map<std::uint64_t, std::string> sockets_;  ///< by inode
};

/// What the tables under /proc/PID/net say (proc(5)): descriptions by inode. Lines that do not parse are
/// skipped.
enum class SocketTable { tcp, udp, local };
void parse_socket_table(SocketTable table, std::string_view text,
                        std::unordered_map<std::uint64_t, std::string>& sockets);

}  // namespace asyncdump
