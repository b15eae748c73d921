#include "cli/configuration.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

namespace asyncdump {
namespace {

constexpr std::array<std::pair<std::string_view, WaitKind>, 6> kinds = {{
    {"coroutine", WaitKind::coroutine},
    {"timer", WaitKind::timer},
    {"io", WaitKind::io},
    {"lock", WaitKind::lock},
    {"channel", WaitKind::channel},
    {"other", WaitKind::other},
}};

/// Reads one file's tables; keeps the first mistake.
class Reader {
  public:
    explicit Reader(std::string name) : name_(std::move(name)) {}

    Result<cpp20::UserKnowledge> read(const toml::table& root) {
        for (const auto& [key, value] : root) {
            if (key == "functions") {
                read_lists(value, "functions", {{"internal", &knowledge_.internal_functions}});
            } else if (key == "promise") {
                read_lists(value, "promise", {{"continuation", &knowledge_.continuations}});
            } else if (key == "wait") {
                read_waits(value);
            } else {
                complain(value, fmt::format("'{}' is unknown: there are [functions], [promise] and [[wait]]",
                                            key.str()));
            }
        }
        if (!mistake_.empty()) return failure(ErrorCode::malformed, mistake_);
        return std::move(knowledge_);
    }

  private:
    void complain(const toml::node& where, const std::string& what) {
        if (mistake_.empty()) mistake_ = fmt::format("{}:{}: {}", name_, where.source().begin.line, what);
    }

    void read_lists(const toml::node& node, std::string_view table_name,
                    std::initializer_list<std::pair<std::string_view, std::vector<std::string>*>> lists) {
        const toml::table* table = node.as_table();
        if (table == nullptr) return complain(node, fmt::format("[{}] has to be a table", table_name));
        for (const auto& [key, value] : *table) {
            std::vector<std::string>* list = nullptr;
            for (const auto& [name, place] : lists) {
                if (key == name) list = place;
            }
            if (list == nullptr) {
                complain(value, fmt::format("'{}' is unknown in [{}]", key.str(), table_name));
                continue;
            }
            const toml::array* array = value.as_array();
            if (array == nullptr) {
                complain(value, fmt::format("'{}' has to be a list of patterns", key.str()));
                continue;
            }
            for (const toml::node& element : *array) {
                if (const auto pattern = element.value<std::string>())
                    list->push_back(*pattern);
                else
                    complain(element, fmt::format("'{}' has to be a list of patterns", key.str()));
            }
        }
    }

    void read_waits(const toml::node& node) {
        const toml::array* array = node.as_array();
        if (array == nullptr) return complain(node, "waits are written as [[wait]]");
        for (const toml::node& element : *array) {
            const toml::table* table = element.as_table();
            if (table == nullptr) return complain(element, "waits are written as [[wait]]");
            read_wait(*table);
        }
    }

    void read_wait(const toml::table& table) {
        cpp20::UserKnowledge::Wait wait;
        for (const auto& [key, value] : table) {
            const auto text = value.value<std::string>();
            if (!text) {
                complain(value, fmt::format("'{}' has to be a text", key.str()));
            } else if (key == "type") {
                wait.type = *text;
            } else if (key == "summary") {
                wait.summary = *text;
            } else if (key == "kind") {
                for (const auto& [word, kind] : kinds) {
                    if (word == *text) wait.kind = kind;
                }
                if (!wait.kind)
                    complain(value, fmt::format("kind '{}' is unknown: there are coroutine, timer, io, lock, "
                                                "channel and other",
                                                *text));
            } else {
                complain(value, fmt::format("'{}' is unknown in [[wait]]", key.str()));
            }
        }
        if (wait.type.empty()) complain(table, "a [[wait]] needs the type of the awaiter");
        knowledge_.waits.push_back(std::move(wait));
    }

    std::string name_;
    cpp20::UserKnowledge knowledge_;
    std::string mistake_;
};

Result<std::string> read_text(const std::string& path) {
    constexpr std::streamsize largest = 1 << 20;
    std::ifstream file(path, std::ios::binary);
    if (!file) return failure(ErrorCode::unreadable_file, fmt::format("cannot read {}", path));
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (static_cast<std::streamsize>(text.size()) > largest)
        return failure(ErrorCode::malformed, fmt::format("{} is too large for a configuration", path));
    return text;
}

std::vector<std::string> usual_files() {
    std::vector<std::string> files{"asyncdump.toml"};
    const char* configuration = std::getenv("XDG_CONFIG_HOME");
    const char* home = std::getenv("HOME");
    if (configuration != nullptr && *configuration == '/')
        files.push_back(fmt::format("{}/asyncdump/asyncdump.toml", configuration));
    else if (home != nullptr && *home == '/')
        files.push_back(fmt::format("{}/.config/asyncdump/asyncdump.toml", home));
    return files;
}

void append(cpp20::UserKnowledge& to, cpp20::UserKnowledge&& more) {
    const auto move_all = [](auto& into, auto& from) {
        into.insert(into.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
    };
    move_all(to.internal_functions, more.internal_functions);
    move_all(to.continuations, more.continuations);
    move_all(to.waits, more.waits);
}

}  // namespace

Result<cpp20::UserKnowledge> parse_configuration(std::string_view text, const std::string& name) {
    try {
        return Reader(name).read(toml::parse(text, name));
    } catch (const toml::parse_error& error) {
        return failure(ErrorCode::malformed,
                       fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
    }
}

Result<Configuration> read_configuration(const std::string& file) {
    Configuration configuration;
    if (!file.empty()) {
        const auto text = read_text(file);
        if (!text) return tl::unexpected(text.error());
        auto knowledge = parse_configuration(*text, file);
        if (!knowledge) return tl::unexpected(knowledge.error());
        configuration.knowledge = std::move(*knowledge);
        return configuration;
    }
    for (const std::string& path : usual_files()) {
        struct stat status {};
        if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
        if (status.st_uid != ::geteuid() && status.st_uid != 0) {
            configuration.warnings.push_back(fmt::format(
                "{} belongs to another user and is left out: name it with --config to use it", path));
            continue;
        }
        const auto text = read_text(path);
        auto knowledge = text ? parse_configuration(*text, path) : tl::unexpected(text.error());
        if (knowledge)
            append(configuration.knowledge, std::move(*knowledge));
        else
            configuration.warnings.push_back(knowledge.error().message + " (the file is left out)");
    }
    return configuration;
}

}  // namespace asyncdump
