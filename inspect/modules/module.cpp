#include "modules/module.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "modules/elf_module.h"
#include "process/live_memory.h"
#include "process/process_info.h"

namespace asyncdump {

struct ModuleSet::State {
    DebugSearch search;
    ProblemList problems;
    std::vector<std::unique_ptr<Module>> modules;

    void sort() {
        std::sort(modules.begin(), modules.end(),
                  [](const auto& a, const auto& b) { return a->range().begin < b->range().begin; });
    }
};

namespace {

constexpr std::uint64_t maximal_vdso_bytes = 64 * 1024;

/// Mappings of devices and of shared memory: nothing was loaded there from a file.
bool is_code_of_a_file(const Mapping& mapping) {
    const std::string_view path = mapping.path;
    return mapping.is_file() && (!path.starts_with("/dev/") || path.starts_with("/dev/shm/")) &&
           !path.starts_with("/SYSV") && !path.starts_with("anon_inode:");
}

Result<ElfFile> open_mapped_elf(pid_t pid, const Mapping& mapping) {
    auto descriptor = open_mapped_file(pid, mapping);
    if (!descriptor) return tl::unexpected(descriptor.error());
    return ElfFile::open(std::move(*descriptor), mapping.path);
}

Result<ElfFile> read_vdso(pid_t pid, const Mapping& mapping) {
    std::vector<std::byte> image(std::min(mapping.range.size(), maximal_vdso_bytes));
    const auto memory = LiveMemory::open(pid);
    if (!memory) return tl::unexpected(memory.error());
    image.resize(memory->read(mapping.range.begin, image));
    return ElfFile::from_bytes(std::move(image), mapping.path);
}

}  // namespace

ModuleSet::ModuleSet(std::unique_ptr<State> state) : state_(std::move(state)) {}
ModuleSet::ModuleSet(ModuleSet&&) noexcept = default;
ModuleSet& ModuleSet::operator=(ModuleSet&&) noexcept = default;
ModuleSet::~ModuleSet() = default;

ModuleSet ModuleSet::of_process(pid_t pid, const MemoryMap& map, const Options& options) {
    auto state = std::make_unique<State>();
    state->search = {options.debug_directories, pid};

    // A file is loaded once for each distinct bias: dlmopen loads one several times. It has several
    // executable mappings when their protection or something else differs.
    using FileId = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;
    std::map<FileId, std::vector<ElfModule*>> loaded;  // empty for what could not be loaded
    for (const Mapping& mapping : map.mappings()) {
        const bool is_vdso = mapping.path == "[vdso]";
        if (!mapping.executable || !(is_code_of_a_file(mapping) || is_vdso)) continue;
        const FileId id{mapping.device_major, mapping.device_minor, mapping.inode};
        const auto [known, is_new] = loaded.try_emplace(id);
        auto& instances = known->second;
        if (!is_new) {
            if (instances.empty()) continue;
            const auto bias = instances.front()->bias_of_mapping(mapping);
            const auto same = std::find_if(instances.begin(), instances.end(),
                                           [&](const ElfModule* module) { return module->bias() == bias; });
            if (same != instances.end()) (*same)->add_executable_range(mapping.range);
            if (same != instances.end() || !bias) continue;
        }
        auto file = is_vdso ? read_vdso(pid, mapping) : open_mapped_elf(pid, mapping);
        if (!file) {
            // Devices, profiles and other things that are mapped executable but are no ELF files hold no code
            // that we could explain.
            if (file.error().code != ErrorCode::malformed)
                state->problems.add({"unreadable_module", file.error().message, mapping.path, true});
            continue;
        }
        const auto bias = file->bias_of_executable_mapping(mapping.range.begin.value(), mapping.file_offset);
        if (!bias) continue;
        auto module = std::make_unique<ElfModule>(std::move(*file), mapping.path, *bias, state->search,
                                                  state->problems);
        module->add_executable_range(mapping.range);
        module->use_cache(options.cache);
        instances.push_back(module.get());
        state->modules.push_back(std::move(module));
    }
    state->sort();
    return ModuleSet(std::move(state));
}

Result<ModuleSet> ModuleSet::of_file(const std::string& path, std::uint64_t bias, const Options& options) {
    FileDescriptor descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!descriptor)
        return failure(ErrorCode::unreadable_file,
                       fmt::format("cannot open {}: {}", path, std::strerror(errno)), errno);
    auto file = ElfFile::open(std::move(descriptor), path);
    if (!file) return tl::unexpected(file.error());
    auto state = std::make_unique<State>();
    state->search.directories = options.debug_directories;
    auto module = std::make_unique<ElfModule>(std::move(*file), path, bias, state->search, state->problems);
    module->add_executable_ranges_of_file();
    state->modules.push_back(std::move(module));
    return ModuleSet(std::move(state));
}

const Module* ModuleSet::find(RemoteAddress address) const {
    const auto& modules = state_->modules;
    auto next =
        std::upper_bound(modules.begin(), modules.end(), address,
                         [](RemoteAddress a, const auto& module) { return a < module->range().begin; });
    if (next == modules.begin()) return nullptr;
    const Module& candidate = **--next;
    return candidate.range().contains(address) ? &candidate : nullptr;
}

std::span<const std::unique_ptr<Module>> ModuleSet::modules() const {
    return state_->modules;
}

void ModuleSet::save_caches() const {
    for (const auto& module : state_->modules)
        if (ModuleCache* cache = module->cache()) cache->save();
}

std::vector<Problem> ModuleSet::problems() const {
    return state_->problems.all();
}

}  // namespace asyncdump
