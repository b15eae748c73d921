// Reads the registry that libasyncdump-agent.so keeps inside a target (agent/registry_layout.h,
// docs/agent.md). An entry is a claim and no more: frames are verified by their content, like those of a
// scan. Nothing that stands there is trusted; every count, size and chain is bounded.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "modules/module.h"
#include "process/memory.h"
#include "runtimes/registry/structure_layout.h"

namespace asyncdump {

/// A block of memory that is handed out and may be or contain coroutine frames.
struct RegisteredBlock {
    RemoteAddress address;
    std::uint64_t size = 0;        ///< bytes; 0 when unknown
    std::uint64_t created = 0;     ///< in units of the header's clock; 0 when unknown
    std::uint32_t thread = 0;      ///< as gettid() gave it inside the target; 0 when unknown
    std::uint32_t origin = 0;      ///< for stack(); 0 when unknown
    std::uint32_t annotation = 0;  ///< for annotation(); 0: none
    bool is_explicit = false;      ///< registered by the program itself or by an injector
    bool is_of_malloc = false;     ///< given by malloc's family, not by operator new

    AddressRange range() const { return {address, address + size}; }
    friend bool operator==(const RegisteredBlock&, const RegisteredBlock&) = default;
    friend auto operator<=>(const RegisteredBlock&, const RegisteredBlock&) = default;
};

struct RegistryAnnotation {
    bool is_task = false;      ///< a task's name and label; otherwise a scope in which the block was created
    std::uint32_t parent = 0;  ///< the next one of the same block; 0: none
    RemoteAddress subject;     ///< of a task: an address inside the named frame
    std::string name, label;   ///< raw bytes of the target
};

class AgentRegistry {
  public:
    /// Looks for the agent among the modules. Empty when there is none; an error (malformed) when there is
    /// one that cannot be understood, so that memory has to be scanned instead.
    static Result<std::optional<AgentRegistry>> find(const ModuleSet& modules, const Memory& memory);

    /// A registry at a known address, described by registry_layout.h alone: for tests.
    static Result<AgentRegistry> at(RemoteAddress address, const Memory& memory);

    const asyncdump_registry_header& header() const { return header_; }
    /// The name of the agent's module, "" when made by at().
    const std::string& module_name() const { return module_name_; }
    const RegistryLayout& layout() const { return layout_; }
    RemoteAddress address() const { return address_; }
    bool layout_is_of_debug_information() const { return of_debug_information_; }

    /// Why frames may exist that no entry tells of, in words ("the executable has its own operator new");
    /// empty when the registry is complete. Reads state, flags and counters anew.
    std::string why_incomplete(const Memory& memory) const;

    /// All live entries, by ascending address. While the target runs, one may be gone or half made already:
    /// believe what is read while it is stopped.
    std::vector<RegisteredBlock> blocks(const Memory& memory) const;

    /// The return addresses of a creation stack, innermost first; empty when unknown. They never change once
    /// they are there: they may be read after the target went on.
    std::vector<RemoteAddress> stack(const Memory& memory, std::uint32_t origin) const;

    std::optional<RegistryAnnotation> annotation(const Memory& memory, std::uint32_t id) const;
    /// All annotations of a block: those of its tasks, then its scopes from the inside out. Bounded.
    std::vector<RegistryAnnotation> annotations(const Memory& memory, const RegisteredBlock& block) const;

  private:
    AgentRegistry() = default;
    Result<void> read_header(const Memory& memory);
    std::vector<std::uint64_t> used_regions(const Memory& memory) const;
    void read_leaf(const Memory& memory, std::uint64_t region, std::uint64_t leaf, RemoteAddress address,
                   std::vector<RegisteredBlock>& blocks) const;
    std::optional<RemoteAddress> chunk(const Memory& memory, const asyncdump_part& directory,
                                       std::uint64_t index) const;

    RemoteAddress address_;
    std::string module_name_;
    RegistryLayout layout_;
    bool of_debug_information_ = false;
    asyncdump_registry_header header_{};
};

}  // namespace asyncdump
