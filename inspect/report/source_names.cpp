#include "report/source_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <unordered_set>
#include <vector>

#include "report/text_writer.h"

namespace asyncdump {
namespace {

/// Beyond this depth the whole path is shown: paths are the target's and may be made to be alike.
constexpr std::size_t most_components = 8;

/// The last `components` components of a path.
std::string_view path_end(std::string_view path, std::size_t components) {
    std::size_t begin = path.size();
    while (begin > 0 && components > 0) {
        const std::size_t slash = path.substr(0, begin).rfind('/');
        if (slash == std::string_view::npos) return path;
        begin = slash;
        --components;
    }
    return path.substr(std::min(begin + 1, path.size()));
}

bool all_differ(const std::vector<std::string_view>& paths, std::size_t components) {
    std::unordered_set<std::string_view> ends;
    for (const auto path : paths) {
        if (!ends.insert(path_end(path, components)).second) return false;
    }
    return true;
}

}  // namespace

SourceNames::SourceNames(const Dump& dump, bool unicode) {
    const auto note = [&](std::string_view path) { names_.try_emplace(path); };
    for (const auto& location : dump.observed.locations) note(location.file);
    for (const auto& function : dump.observed.functions) {
        if (function.declared_at) note(function.declared_at->file);
    }
    for (const auto& stack : dump.observed.creation_stacks) {
        for (const auto& position : stack) note(position.file);
    }
    for (const auto& thread : dump.threads) {
        for (const auto& frame : thread.frames) note(frame.file);
    }

    // Compilers write the same file as "/a/b/../c.cpp" and "/a/c.cpp".
    std::map<std::string, std::vector<std::string_view>> by_normal_path;
    for (const auto& [path, name] : names_)
        by_normal_path[std::filesystem::path(path).lexically_normal().string()].push_back(path);
    std::unordered_map<std::string_view, std::vector<std::string_view>> by_last_component;
    for (const auto& [normal, paths] : by_normal_path)
        by_last_component[path_end(normal, 1)].push_back(normal);
    for (const auto& [last_component, normals] : by_last_component) {
        std::size_t components = 1;
        while (components < most_components && !all_differ(normals, components)) ++components;
        const bool told_apart = components < most_components;
        for (const auto normal : normals) {
            for (const auto path : by_normal_path.find(std::string(normal))->second)
                names_[path] = printable(told_apart ? path_end(normal, components) : path, unicode);
        }
    }
}

const std::string& SourceNames::of(std::string_view path) const {
    static const std::string none;
    const auto found = names_.find(path);
    return found == names_.end() ? none : found->second;
}

std::string SourceNames::position(std::string_view path, std::uint32_t line) const {
    if (path.empty()) return "";
    return line == 0 ? of(path) : fmt::format("{}:{}", of(path), line);
}

}  // namespace asyncdump
