#include "cli/creation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "process/namespaces.h"

namespace asyncdump {
namespace {

class CreationWriter {
  public:
    CreationWriter(Dump& dump, const Snapshot& snapshot, const AgentRegistry& registry, const Memory& memory,
                   const cpp20::CoroutineCatalog& catalog, Symbolizer& symbolizer)
        : dump_(dump),
          snapshot_(snapshot),
          registry_(registry),
          memory_(memory),
          catalog_(catalog),
          symbolizer_(symbolizer),
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
        const std::uint32_t stack = stack_of(block.origin);
        const Maker maker = block.is_explicit ? Maker::the_coroutine : maker_of(stack, coroutine);
        created.or_later = !block.is_explicit && (block.is_of_malloc || maker != Maker::the_coroutine);
        if (maker != Maker::another_coroutine) {
            created.stack = stack;
            created.thread = thread_ids_.visible_id(static_cast<std::int32_t>(block.thread));
        }
        details(coroutine).created = created;
    }

    std::uint32_t stack_of(std::uint32_t origin) {
        const auto [entry, is_new] = stacks_.try_emplace(origin, no_index);
        if (!is_new) return entry->second;
        std::vector<StackPosition> stack;
        for (const RemoteAddress pc : registry_.stack(memory_, origin)) {
            for (const CodePosition& position : symbolizer_.at(pc, true)) {
                stack.push_back(
                    {pc, position.function, position.file, position.line, position.module, position.inlined});
            }
        }
        if (stack.empty()) return no_index;
        entry->second = static_cast<std::uint32_t>(dump_.observed.creation_stacks.size());
        dump_.observed.creation_stacks.push_back(std::move(stack));
        return entry->second;
    }

    enum class Maker { the_coroutine, an_allocator, another_coroutine };

    /// Who asked for the memory: the coroutine function itself (which may be inlined into its caller without
    /// a trace), an allocator of the program's own, which may keep it for later coroutines, or plainly
    /// another coroutine's function: then that happened already. Such an allocator is known by its name and
    /// by debug information; where it is inlined and there is none, it goes unnoticed.
    Maker maker_of(std::uint32_t stack, std::uint32_t coroutine) {
        const std::uint32_t function = dump_.observed.coroutines[coroutine].function;
        if (stack == no_index || function == no_index) return Maker::the_coroutine;
        const auto [entry, is_new] = makers_.try_emplace({stack, function}, Maker::the_coroutine);
        if (!is_new) return entry->second;
        const auto& positions = dump_.observed.creation_stacks[stack];
        const RemoteAddress site = positions.front().pc;
        const auto own =
            std::ranges::find(positions, dump_.observed.functions[function].name, &StackPosition::function);
        const auto site_end = std::ranges::find_if(
            positions, [&](const StackPosition& position) { return position.pc != site; });
        const auto is_ordinary = [](const StackPosition& position) {
            const std::string_view name = position.function;
            return name.starts_with("operator new") || name.starts_with("std::") ||
                   name.starts_with("__gnu_cxx::");
        };
        if (own != positions.end()) {
            if (!std::all_of(positions.begin(), own, is_ordinary)) entry->second = Maker::an_allocator;
        } else if (is_ramp_of_another(site, dump_.observed.functions[function].symbol)) {
            entry->second = Maker::another_coroutine;
        } else if (std::any_of(positions.begin(), site_end, [](const StackPosition& position) {
                       return position.function.find("::operator new") != std::string::npos;
                   })) {
            entry->second = Maker::an_allocator;
        }
        return entry->second;
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
    std::chrono::milliseconds clock_;  ///< the target's CLOCK_MONOTONIC at the stop
    ThreadIds thread_ids_;
    std::unordered_map<std::uint32_t, std::uint32_t> stacks_;  ///< by origin
    std::map<std::pair<std::uint32_t, std::uint32_t>, Maker> makers_;
    std::map<std::vector<std::string>, std::uint32_t> scopes_;
};

}  // namespace

void add_creation(Dump& dump, const Snapshot& snapshot, const AgentRegistry& registry, const Memory& memory,
                  const cpp20::CoroutineCatalog& catalog, Symbolizer& symbolizer) {
    CreationWriter(dump, snapshot, registry, memory, catalog, symbolizer).add_all();
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
