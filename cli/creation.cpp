#include "cli/creation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "modules/frame_pointer_use.h"
#include "process/namespaces.h"

namespace asyncdump {
namespace {

class CreationWriter {
  public:
    CreationWriter(Dump& dump, const Snapshot& snapshot, const AgentRegistry& registry, const Memory& memory,
                   const cpp20::CoroutineCatalog& catalog, const ModuleSet& modules, Symbolizer& symbolizer)
        : dump_(dump),
          snapshot_(snapshot),
          registry_(registry),
          memory_(memory),
          catalog_(catalog),
          symbolizer_(symbolizer),
          frame_pointers_(modules),
          clock_(std::chrono::duration_cast<std::chrono::milliseconds>(
              snapshot.monotonic + monotonic_offset(snapshot.process.pid))),
          thread_ids_(snapshot.process.pid, static_cast<std::int32_t>(registry.header().process_id)) {}

    void add_all() {
        const auto& coroutines = dump_.observed.coroutines;
        for (std::uint32_t i = 0; i < coroutines.size(); ++i) {
            const RegisteredBlock* const block = block_of(coroutines[i].address);
            if (block == nullptr) continue;
            if (was_created_with(coroutines[i], *block)) add_created(i, *block);
            if (block->annotation != 0) add_name(i, *block);
        }
        // Nobody asked for stacks where only the place that allocated is kept.
        if (registry_.header().stack_depth <= 1) return;
        for (const std::string& module : without_frame_pointers_)
            dump_.observed.problems.push_back(
                {"no_frame_pointers",
                 fmt::format("who created coroutines of {} is not known: it was built without frame "
                             "pointers (-fno-omit-frame-pointer keeps them)",
                             module),
                 module, false});
    }

  private:
    CoroutineDetails& details(std::uint32_t coroutine) {
        std::uint32_t& index = dump_.observed.coroutines[coroutine].details;
        if (index == no_index) {
            index = static_cast<std::uint32_t>(dump_.observed.details.size());
            dump_.observed.details.emplace_back();
        }
        return dump_.observed.details[index];
    }

    const RegisteredBlock* block_of(RemoteAddress address) const {
        const auto& blocks = snapshot_.blocks;
        const auto after = std::ranges::upper_bound(blocks, address, {}, &RegisteredBlock::address);
        if (after == blocks.begin()) return nullptr;
        const RegisteredBlock& block = *(after - 1);
        return block.address == address || block.range().contains(address) ? &block : nullptr;
    }

    /// What is nested in another frame, or lies in an arena, was created later than the block.
    static bool was_created_with(const ObservedCoroutine& frame, const RegisteredBlock& block) {
        constexpr std::uint64_t largest_header = 64, largest_slack = 128;
        if (frame.frame_bytes == 0 || block.size == 0) return frame.address == block.address;
        return frame.address - block.address <= largest_header &&
               block.size - frame.frame_bytes <= largest_slack;
    }

    void add_created(std::uint32_t coroutine, const RegisteredBlock& block) {
        const std::uint64_t unit_ns = registry_.header().clock_unit_ns;
        // 0: an injector found it there.
        if (block.created == 0 || unit_ns == 0) return;
        Creation created;
        const std::uint64_t now_ms = static_cast<std::uint64_t>(clock_.count());
        const std::uint64_t then_ms = block.created * (unit_ns / 1000) / 1000;
        created.age_ms = now_ms > then_ms ? now_ms - then_ms : 0;
        created.at = snapshot_.at - std::chrono::milliseconds(created.age_ms);
        created.scopes = scopes_of(block);
        const Calls& calls = calls_of(block.origin, coroutine);
        created.stack = calls.stack;
        created.or_later = !block.is_explicit && (block.is_of_malloc || calls.maker != Maker::the_coroutine);
        if (calls.maker != Maker::another_coroutine) {
            created.thread = thread_ids_.visible_id(static_cast<std::int32_t>(block.thread));
        }
        details(coroutine).created = created;
    }

    enum class Maker { the_coroutine, an_allocator, another_coroutine };

    struct Calls {
        Maker maker = Maker::the_coroutine;
        std::uint32_t stack = no_index;  ///< in Observation::creation_stacks: from the creator on
    };

    const std::vector<StackPosition>& positions_of(std::uint32_t origin) {
        const auto [entry, is_new] = positions_.try_emplace(origin);
        if (!is_new) return entry->second;
        const auto pcs = registry_.stack(memory_, origin);
        for (std::size_t i = 0; i < pcs.size() && (i == 0 || is_caller(pcs[i], pcs[i - 1])); ++i) {
            const RemoteAddress pc = pcs[i];
            for (const CodePosition& position : symbolizer_.at(pc, true)) {
                entry->second.push_back(
                    {pc, position.function, position.file, position.line, position.module, position.inlined});
            }
        }
        return entry->second;
    }

    /// The agent follows frame pointers, which not all code keeps. A function that leaves the register alone
    /// hides its caller; whatever stands further out is a caller all the same if it keeps frame pointers
    /// itself. (In a program where few functions do, one that does could be taken from an old stack frame.)
    bool is_caller(RemoteAddress outer, RemoteAddress inner) {
        const auto use = frame_pointers_.before(inner);
        return use == FramePointerUse::At::kept ||
               (use == FramePointerUse::At::left_alone &&
                frame_pointers_.before(outer) == FramePointerUse::At::kept);
    }

    /// Who asked for the memory: the coroutine function itself (which may be inlined into its caller without
    /// a trace), an allocator of the program's own, which may keep it for later coroutines, or plainly
    /// another coroutine's function: then that happened already. Such an allocator is known by its name and
    /// by debug information; where it is inlined and there is none, it goes unnoticed.
    ///
    /// And who called the coroutine function: what stands further inside is how its frame is allocated.
    const Calls& calls_of(std::uint32_t origin, std::uint32_t coroutine) {
        const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
        const auto [entry, is_new] = calls_.try_emplace({origin, function});
        Calls& calls = entry->second;
        if (!is_new) return calls;
        const auto& positions = positions_of(origin);
        if (positions.empty()) return calls;

        const bool is_known = function != no_index;
        const auto own = is_known ? ramp_among(positions, function) : positions.end();
        auto creator = positions.begin();
        if (own != positions.end()) {
            if (!std::all_of(positions.begin(), own, is_ordinary)) calls.maker = Maker::an_allocator;
            creator = own + 1;
        } else {
            const RemoteAddress site = positions.front().pc;
            const auto site_end = std::ranges::find_if(
                positions, [&](const StackPosition& position) { return position.pc != site; });
            if (is_known && is_ramp_of_another(site, dump_.observed.functions[function].symbol))
                calls.maker = Maker::another_coroutine;
            else if (std::any_of(positions.begin(), site_end, is_own_operator_new))
                calls.maker = Maker::an_allocator;
            creator = after_allocation(positions);
        }
        if (calls.maker == Maker::another_coroutine) return calls;
        if (creator == positions.end()) {
            if (frame_pointers_.before(positions.back().pc) != FramePointerUse::At::kept)
                without_frame_pointers_.insert(positions.back().module);
            return calls;
        }
        calls.stack = static_cast<std::uint32_t>(dump_.observed.creation_stacks.size());
        dump_.observed.creation_stacks.emplace_back(creator, positions.end());
        return calls;
    }

    /// The coroutine function itself, which allocates the frame. Its body has the same name, and calls it
    /// when it is recursive.
    std::vector<StackPosition>::const_iterator ramp_among(const std::vector<StackPosition>& positions,
                                                          std::uint32_t function) const {
        return std::ranges::find_if(positions, [&](const StackPosition& position) {
            if (position.function != dump_.observed.functions[function].name) return false;
            const auto part = catalog_.part_at(position.pc - 1);
            return position.inlined || !part || part->kind == cpp20::CoroutinePart::Kind::ramp;
        });
    }

    static bool is_ordinary(const StackPosition& position) {
        const std::string_view name = position.function;
        return name.starts_with("operator new") || name.starts_with("std::") ||
               name.starts_with("__gnu_cxx::");
    }

    static bool is_own_operator_new(const StackPosition& position) {
        return position.function.find("::operator new") != std::string::npos;
    }

    /// Where the coroutine function left no trace: behind the last operator new, or what the standard library
    /// calls.
    static std::vector<StackPosition>::const_iterator after_allocation(
        const std::vector<StackPosition>& positions) {
        const auto last_new =
            std::find_if(positions.rbegin(), positions.rend(), [](const StackPosition& position) {
                return position.function.starts_with("operator new") || is_own_operator_new(position);
            });
        return std::find_if_not(last_new.base(), positions.end(), is_ordinary);
    }

    bool is_ramp_of_another(RemoteAddress pc, std::string_view own_symbol) const {
        return std::ranges::any_of(catalog_.functions(), [&](const cpp20::CoroutineCode& code) {
            return code.ramp.contains(pc) && code.ramp_symbol != own_symbol;
        });
    }

    std::uint32_t scopes_of(const RegisteredBlock& block) {
        if (block.annotation == 0) return no_index;
        std::vector<std::string> names;
        for (RegistryAnnotation& annotation : registry_.annotations(snapshot_.memory, block))
            if (!annotation.is_task) names.push_back(std::move(annotation.name));
        if (names.empty()) return no_index;
        const auto [entry, is_new] =
            scopes_.try_emplace(names, static_cast<std::uint32_t>(dump_.observed.scopes.size()));
        if (is_new) dump_.observed.scopes.push_back(std::move(names));
        return entry->second;
    }

    void add_name(std::uint32_t coroutine, const RegisteredBlock& block) {
        const auto& coroutines = dump_.observed.coroutines;
        for (RegistryAnnotation& annotation : registry_.annotations(snapshot_.memory, block)) {
            if (!annotation.is_task || !names_inside(annotation.subject, coroutine)) continue;
            // Of frames nested in each other the innermost is meant.
            const bool is_of_next =
                coroutine + 1 < coroutines.size() && names_inside(annotation.subject, coroutine + 1);
            if (is_of_next) continue;
            CoroutineDetails& named = details(coroutine);
            if (named.name == no_index) {
                named.name = static_cast<std::uint32_t>(dump_.observed.names.size());
                dump_.observed.names.emplace_back();
            }
            CoroutineName& name = dump_.observed.names[named.name];
            if (name.name.empty()) name.name = std::move(annotation.name);
            if (name.label.empty()) name.label = std::move(annotation.label);
        }
    }

    bool names_inside(RemoteAddress subject, std::uint32_t coroutine) const {
        const ObservedCoroutine& frame = dump_.observed.coroutines[coroutine];
        if (subject < frame.address) return false;
        return frame.frame_bytes == 0 || subject < frame.address + frame.frame_bytes;
    }

    Dump& dump_;
    const Snapshot& snapshot_;
    const AgentRegistry& registry_;
    const Memory& memory_;
    const cpp20::CoroutineCatalog& catalog_;
    Symbolizer& symbolizer_;
    FramePointerUse frame_pointers_;
    std::chrono::milliseconds clock_;  ///< the target's CLOCK_MONOTONIC at the stop
    ThreadIds thread_ids_;
    std::unordered_map<std::uint32_t, std::vector<StackPosition>> positions_;  ///< by origin; whole stacks
    std::map<std::pair<std::uint32_t, std::uint32_t>, Calls> calls_;           ///< by origin and function
    std::map<std::vector<std::string>, std::uint32_t> scopes_;
    std::set<std::string> without_frame_pointers_;  ///< modules whose creators are not known
};

}  // namespace

void add_creation(Dump& dump, const Snapshot& snapshot, const AgentRegistry& registry, const Memory& memory,
                  const cpp20::CoroutineCatalog& catalog, const ModuleSet& modules, Symbolizer& symbolizer) {
    CreationWriter(dump, snapshot, registry, memory, catalog, modules, symbolizer).add_all();
}

void name_tasks(Dump& dump) {
    const auto name_of = [&](std::uint32_t coroutine) -> const std::string* {
        const std::uint32_t details = dump.observed.coroutines[coroutine].details;
        if (details == no_index) return nullptr;
        const std::uint32_t name = dump.observed.details[details].name;
        return name == no_index || dump.observed.names[name].name.empty() ? nullptr
                                                                          : &dump.observed.names[name].name;
    };
    for (Task& task : dump.tasks) {
        for (std::uint32_t i = 0; i < task.member_count && task.name.empty(); ++i) {
            if (const std::string* name = name_of(dump.task_members[task.first_member + i]))
                task.name = *name;
        }
    }
}

}  // namespace asyncdump
