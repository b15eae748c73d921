#include "runtimes/cpp20/index_field.h"

#include <algorithm>
#include <set>
#include <vector>

#include "runtimes/cpp20/store_sites.h"

namespace asyncdump::cpp20 {

namespace {

using By = FoundIndexField::By;

/// Clang takes the smallest integer that holds the number of the function's suspend points.
constexpr std::uint32_t most_clang_width = 2;
constexpr std::size_t max_candidates = 64;

/// Clang only, from the code alone.
class ClangIndex {
  public:
    explicit ClangIndex(const CoroutineFunctions& functions) : functions_(functions) {}

    /// The user's data may take the first decision as well: a flag of the promise, the state of a variant in
    /// it. Clang's index is small, and what stores it is the co_await itself, in no inlined call. (A variable
    /// of the coroutine function's own, of constant values and without a place in DWARF, would still be taken
    /// for the index.)
    bool may_be_index(const IndexField& field) const {
        if (field.width > most_clang_width) return false;
        if (functions_.resume_info != nullptr &&
            functions_.resume_info->user_variable_at(field.offset, field.width)) {
            return false;
        }
        const auto by_resume = stores(FunctionRole::resume, field),
                   by_ramp = stores(FunctionRole::ramp, field);
        if (by_resume.empty() && by_ramp.empty()) return functions_.ramp == nullptr;
        return !any_inlined(by_resume, functions_.resume, functions_.resume_info) &&
               (by_ramp.empty() || !any_inlined(by_ramp, *functions_.ramp, functions_.ramp_info));
    }

    /// Where the function goes on in the same way from its initial point and from an await, the index is
    /// stored though nobody reads it: 0 by the ramp of a coroutine that suspends at its begin, and that has
    /// not come to the user's code then.
    std::optional<FoundIndexField> kept() const {
        if (functions_.resume_info == nullptr ||
            !functions_.resume_info->suspends_initially().value_or(false) || !may_suspend_again(functions_)) {
            return std::nullopt;
        }
        std::set<std::uint32_t> offsets;
        for (const Instruction& instruction : functions_.resume.instructions()) {
            const Operand& to = instruction.operands[0];
            if (instruction.operation != Operation::mov || !to.is_memory() || to.size != 1 || to.value < 16 ||
                to.value > 0xffff || !instruction.operands[1].is_immediate()) {
                continue;
            }
            if (offsets.size() < max_candidates) offsets.insert(static_cast<std::uint32_t>(to.value));
        }
        std::optional<FoundIndexField> found;
        for (const std::uint32_t offset : offsets) {
            const IndexField field{offset, 1};
            const auto by_ramp = stores(FunctionRole::ramp, field);
            const bool begins_at_0 =
                (functions_.ramp == nullptr || !by_ramp.empty()) &&
                std::ranges::all_of(by_ramp, [](const StoreSite& site) { return site.index == 0; });
            if (!begins_at_0 || is_read(field) || !may_be_index(field)) continue;
            if (stores(FunctionRole::resume, field).empty()) continue;
            if (found) return std::nullopt;
            found = FoundIndexField{field, functions_.ramp != nullptr ? By::stores : By::resume_stores};
        }
        return found;
    }

  private:
    std::vector<StoreSite> stores(FunctionRole role, const IndexField& field) const {
        const CoroutineCode& code = functions_.code;
        if (role == FunctionRole::resume) {
            return find_store_sites(functions_.imported, functions_.resume, code.resume.begin, role,
                                    code.resume.begin, field);
        }
        if (functions_.ramp == nullptr) return {};
        return find_store_sites(functions_.imported, *functions_.ramp, code.ramp.begin, role,
                                code.resume.begin, field);
    }

    static bool any_inlined(const std::vector<StoreSite>& sites, const FunctionCode& code,
                            const FunctionDebugInfo* info) {
        return info != nullptr && std::ranges::any_of(sites, [&](const StoreSite& site) {
                   return info->is_inlined(code.at(site.store).address);
               });
    }

    bool is_read(const IndexField& field) const {
        return std::ranges::any_of(functions_.resume.instructions(), [&](const Instruction& instruction) {
            const Operand& to = instruction.operands[0];
            const auto touches = [&](const Operand& operand) {
                return operand.is_memory() && operand.value >= 0 &&
                       static_cast<std::uint64_t>(operand.value) <= field.offset &&
                       static_cast<std::uint64_t>(operand.value) + operand.size > field.offset;
            };
            if (instruction.operation == Operation::lea) return false;
            return touches(instruction.operands[1]) ||
                   (instruction.operation != Operation::mov && touches(to));
        });
    }

    const CoroutineFunctions& functions_;
};

bool is_kept(const CoroutineFunctions& functions, const IndexField& field) {
    return !find_store_sites(functions.imported, functions.resume, functions.code.resume.begin,
                             FunctionRole::resume, functions.code.resume.begin, field)
                .empty();
}

}  // namespace

std::optional<FoundIndexField> find_index_field(const CoroutineFunctions& functions) {
    const auto found = [](std::optional<IndexField> field, By by) {
        return field ? std::optional(FoundIndexField{*field, by}) : std::nullopt;
    };
    std::optional<IndexField> decides =
        interpret_dispatch(functions.interpreted, functions.code.resume.begin, std::nullopt, 0).field;
    const std::optional<IndexField> described =
        functions.resume_info != nullptr ? functions.resume_info->index_field() : std::nullopt;
    if (functions.code.compiler == Compiler::gcc) {
        // GCC's index is always there and always two bytes; -Os loads four.
        if (decides) decides->width = 2;
        return described ? found(described, By::frame_type) : found(decides, By::decision);
    }
    // Clang lists the member even where it left the dispatch out; then the first decision is about the user's
    // data. Its width in DWARF can be too small (9 bits are listed as one byte): the load is right.
    if (described && decides && described->offset == decides->offset) return found(decides, By::frame_type);
    // Where it goes on in the same way from every point nothing is decided, but the index may still be kept.
    if (described) return is_kept(functions, *described) ? found(described, By::frame_type) : std::nullopt;
    const ClangIndex clang(functions);
    if (decides && clang.may_be_index(*decides)) return found(decides, By::decision);
    return clang.kept();
}

// Where it cannot, every way to the resume function's end stores a null resume pointer: that is the final
// point. One that frees its frame instead is not told from one that frees something else.
bool may_suspend_again(const CoroutineFunctions& functions) {
    using Position = FunctionCode::Position;
    const FunctionCode& code = functions.resume;
    const Position entry = code.find(functions.code.resume.begin);
    if (entry == FunctionCode::nowhere) return true;
    std::vector<bool> seen(code.instructions().size());
    for (const StoreSite& site :
         find_store_sites(functions.imported, code, functions.code.resume.begin, FunctionRole::resume,
                          functions.code.resume.begin, {.offset = 0, .width = 8})) {
        if (site.index == 0 && !site.through_join) seen[site.store] = true;
    }
    std::vector<Position> pending{entry};
    while (!pending.empty()) {
        const Position at = pending.back();
        pending.pop_back();
        if (seen[at]) continue;
        seen[at] = true;
        const auto successors = code.successors(at);
        const Operation operation = code.at(at).operation;
        if (operation == Operation::ret || (operation == Operation::jmp && successors.empty())) return true;
        pending.insert(pending.end(), successors.begin(), successors.end());
    }
    return false;
}

}  // namespace asyncdump::cpp20
