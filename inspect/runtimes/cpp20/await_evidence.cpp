#include "runtimes/cpp20/await_evidence.h"

#include <algorithm>
#include <set>

namespace asyncdump::cpp20 {

namespace {

using Position = FunctionCode::Position;

constexpr std::size_t max_forward = 400;   // instructions looked at after a store
constexpr std::size_t max_backward = 200;  // and before it

bool begins_another_suspension(AwaitRole role) {
    return role == AwaitRole::await_ready || role == AwaitRole::await_transform ||
           role == AwaitRole::yield_value || role == AwaitRole::initial_suspend ||
           role == AwaitRole::final_suspend || role == AwaitRole::operator_co_await;
}

const InlinedCall* inlined_call_at(const FunctionDebugInfo& info, RemoteAddress address) {
    for (const InlinedCall& call : info.inlined_calls()) {
        if (call.covers(address)) return &call;
    }
    return nullptr;
}

/// Name of what a call instruction calls; "" when unknown.
std::string callee(const AnalysedFunction& function, const Instruction& call) {
    if (const std::string_view name = function.imported->callee(call); !name.empty())
        return std::string(name);
    const auto& sites = function.info->call_sites();
    const auto site = std::ranges::lower_bound(sites, call.next(), {}, &CallSite::return_address);
    return site != sites.end() && site->return_address == call.next() ? site->function : std::string();
}

Evidence scope_evidence(const AnalysedFunction& function, Rule rule, const InlinedCall& call,
                        RemoteAddress address) {
    return {rule,          call.called_at, function.info,           call.role, call.wrapper_kind,
            call.function, address,        call.is_suspend_wrapper, &call,     nullptr};
}

Evidence line_evidence(const AnalysedFunction& function, Rule rule, RemoteAddress address) {
    Evidence evidence;
    evidence.rule = rule;
    evidence.position = function.info->line_at(address);
    evidence.info = function.info;
    evidence.address = address;
    return evidence;
}

Evidence call_evidence(const AnalysedFunction& function, Rule rule, AwaitRole role,
                       const std::string& callee_name, RemoteAddress address) {
    Evidence evidence = line_evidence(function, rule, address);
    evidence.role = role;
    evidence.function = callee_name;
    evidence.kind = suspend_wrapper_kind(callee_name);
    evidence.at_keyword = is_suspend_wrapper(callee_name);
    return evidence;
}

/// GCC lists the awaiter as a variable of the block where it lives. Two of them in one block do not tell
/// which is meant.
void add_awaiter_block(const AnalysedFunction& function, RemoteAddress address, Evidence& evidence) {
    const AwaiterBlock* innermost = nullptr;
    std::uint64_t innermost_size = ~0ULL;
    std::size_t candidates = 0;
    for (const AwaiterBlock& block : function.info->awaiter_blocks()) {
        if (std::ranges::none_of(block.ranges,
                                 [&](const AddressRange& range) { return range.contains(address); }))
            continue;
        std::uint64_t size = 0;
        for (const AddressRange& range : block.ranges) size += range.size();
        if (size == innermost_size) ++candidates;
        if (size >= innermost_size) continue;
        innermost = &block;
        innermost_size = size;
        candidates = 1;
    }
    if (candidates != 1) return;
    evidence.awaiter = innermost;
    if (innermost->variable.starts_with("Yd")) evidence.kind = SuspendPoint::Kind::yield;
    if (innermost->variable == "Is") evidence.kind = SuspendPoint::Kind::initial;
    if (innermost->variable == "Fs") evidence.kind = SuspendPoint::Kind::final;
}

/// Where a site's own code is: a store behind a join serves several suspension points, and so does what
/// surrounds it.
Position own_code(const StoreSite& site) {
    return site.through_join ? site.constant : site.store;
}

/// A call, or the jump to another function that stands for a call and a return.
bool calls(const FunctionCode& code, Position at) {
    const Operation operation = code.at(at).operation;
    return operation == Operation::call || (operation == Operation::jmp && code.successors(at).empty());
}

/// clang calls await_suspend from a function of its own; that one is inlined, and often nothing is left of it
/// but the call. Linkage name of what is called; "" when it is not seen on the straight way.
std::string suspend_called_by_wrapper(const AnalysedFunction& function, const InlinedCall& wrapper,
                                      Position at) {
    const FunctionCode& code = *function.code;
    for (std::size_t i = 0; i < max_forward && wrapper.covers(code.at(at).address); ++i) {
        if (calls(code, at)) {
            std::string name = callee(function, code.at(at));
            if (await_role(name) == AwaitRole::await_suspend) return name;
        }
        const auto successors = code.successors(at);
        if (successors.size() != 1) break;
        at = successors[0];
    }
    return {};
}

void after_store(const AnalysedFunction& function, const StoreSite& site, std::vector<Evidence>& found) {
    const FunctionCode& code = *function.code;
    const Position begin = own_code(site);
    std::vector<Position> pending{begin};
    std::set<Position> seen;
    std::size_t looked_at = 0;
    while (!pending.empty()) {
        Position at = pending.back();
        pending.pop_back();
        while (looked_at++ < max_forward) {
            const Instruction& instruction = code.at(at);
            if (at != begin) {
                if (const InlinedCall* call = inlined_call_at(*function.info, instruction.address)) {
                    if (call->role == AwaitRole::await_suspend) {
                        found.push_back(
                            scope_evidence(function, Rule::suspend_scope, *call, instruction.address));
                        if (call->is_suspend_wrapper) {
                            if (auto name = suspend_called_by_wrapper(function, *call, at); !name.empty())
                                found.back().function = std::move(name);
                        }
                        break;
                    }
                    if (begins_another_suspension(call->role)) break;
                }
                if (calls(code, at)) {
                    const std::string name = callee(function, instruction);
                    if (await_role(name) == AwaitRole::await_suspend || is_suspend_wrapper(name)) {
                        found.push_back(call_evidence(function, Rule::suspend_call, AwaitRole::await_suspend,
                                                      name, instruction.address));
                        break;
                    }
                }
            }
            Position next = FunctionCode::nowhere;
            for (const Position successor : code.successors(at)) {
                if (code.is_join(successor) || !seen.insert(successor).second) continue;
                if (next == FunctionCode::nowhere) {
                    next = successor;
                } else {
                    pending.push_back(successor);
                }
            }
            if (next == FunctionCode::nowhere) break;
            at = next;
        }
    }
}

/// Back from the store to where the suspension begins: await_ready, and what made the awaiter.
void before_store(const AnalysedFunction& function, const StoreSite& site, std::vector<Evidence>& found) {
    const FunctionCode& code = *function.code;
    const auto opens = [](AwaitRole role) {
        return role == AwaitRole::await_ready || role == AwaitRole::await_transform ||
               role == AwaitRole::yield_value || role == AwaitRole::operator_co_await;
    };
    AwaitRole last = AwaitRole::none;
    const auto note = [&](Evidence evidence) {
        if (evidence.role != last) found.push_back(std::move(evidence));
        last = found.back().role;
    };
    Position at = own_code(site);
    for (std::size_t i = 0; i < max_backward; ++i) {
        const Instruction& instruction = code.at(at);
        if (const InlinedCall* call = inlined_call_at(*function.info, instruction.address)) {
            if (!opens(call->role)) return;
            note(scope_evidence(function, Rule::ready_scope, *call, instruction.address));
        } else if (instruction.operation == Operation::call) {
            const std::string name = callee(function, instruction);
            const AwaitRole role = await_role(name);
            if (opens(role))
                note(call_evidence(function, Rule::ready_scope, role, name, instruction.address));
            if (role == AwaitRole::await_resume || role == AwaitRole::await_suspend) return;
        }
        if (last == AwaitRole::yield_value || last == AwaitRole::await_transform) return;
        const auto predecessors = code.predecessors(at);
        // At a join, and at an entry of a jump table, the way from an earlier suspension point may come in.
        if (predecessors.size() != 1 || code.successors(predecessors[0]).size() > 2) return;
        at = predecessors[0];
    }
}

}  // namespace

std::string_view rule_name(Rule rule) {
    switch (rule) {
        case Rule::resume_scope:
            return "E1";
        case Rule::resume_call:
            return "E2";
        case Rule::suspend_scope:
            return "E3";
        case Rule::suspend_call:
            return "E4";
        case Rule::store_line:
            return "E5";
        case Rule::store_line_join:
            return "E5r";
        case Rule::ready_scope:
            return "E6";
        case Rule::resume_line:
            return "E7";
    }
    return "";
}

std::vector<Evidence> evidence_at_store(const AnalysedFunction& function, const StoreSite& site) {
    std::vector<Evidence> found;
    if (function.info == nullptr) return found;
    after_store(function, site, found);
    const RemoteAddress constant = function.code->at(site.constant).address;
    const RemoteAddress store = function.code->at(site.store).address;
    found.push_back(
        line_evidence(function, site.through_join ? Rule::store_line_join : Rule::store_line, constant));
    add_awaiter_block(function, constant, found.back());
    if (!site.through_join && store != constant)
        found.push_back(line_evidence(function, Rule::store_line, store));
    before_store(function, site, found);
    return found;
}

std::vector<Evidence> evidence_at_resume(const AnalysedFunction& function, const DispatchTrace& trace) {
    std::vector<Evidence> found;
    if (function.info == nullptr) return found;
    for (const RemoteAddress address : trace.path) {
        if (const InlinedCall* call = inlined_call_at(*function.info, address)) {
            if (call->role == AwaitRole::await_resume) {
                found.push_back(scope_evidence(function, Rule::resume_scope, *call, address));
                break;
            }
            if (begins_another_suspension(call->role) || call->role == AwaitRole::await_suspend) break;
        }
        const Position position = function.code->find(address);
        if (position == FunctionCode::nowhere) break;
        const Instruction& instruction = function.code->at(position);
        if (instruction.operation == Operation::call) {
            const std::string name = callee(function, instruction);
            if (await_role(name) == AwaitRole::await_resume) {
                found.push_back(
                    call_evidence(function, Rule::resume_call, AwaitRole::await_resume, name, address));
            }
            break;
        }
    }
    for (const RemoteAddress address : trace.path) {
        if (inlined_call_at(*function.info, address) != nullptr) continue;
        Evidence evidence = line_evidence(function, Rule::resume_line, address);
        evidence.position = function.info->statement_at(address);
        if (!evidence.position) continue;
        found.push_back(std::move(evidence));
        break;
    }
    return found;
}

}  // namespace asyncdump::cpp20
