#include "runtimes/cpp20/dispatch_interpreter.h"

namespace asyncdump::cpp20 {

namespace {

constexpr std::size_t max_steps = 10'000;

class Interpreter {
  public:
    Interpreter(const InterpretedCode& code, std::optional<IndexField> field, std::uint64_t index,
                std::size_t most_places)
        : code_(code), field_(field), most_places_(most_places), machine_(code.read_constant, field, index) {}

    DispatchTrace run(RemoteAddress entry) {
        RemoteAddress at = entry;
        for (std::size_t step = 0; step < max_steps; ++step) {
            const Instruction* instruction = code_.instruction_at(at);
            if (instruction == nullptr) return stopped(DispatchTrace::Stop::left_code);
            const bool decided = !trace_.resume_address.is_null();
            if (decided) trace_.path.push_back(at);
            if (trace_.places.size() < most_places_ && (decided || !called_before_decision_))
                trace_.places.push_back({at, machine_.knowledge()});
            next_ = instruction->next();
            stop_.reset();
            execute(*instruction);
            if (found_field_ && !field_) return stopped(DispatchTrace::Stop::unknown);
            if (stop_) return stopped(*stop_);
            at = next_;
        }
        return stopped(DispatchTrace::Stop::too_long);
    }

  private:
    DispatchTrace stopped(DispatchTrace::Stop reason) {
        trace_.stop = reason;
        return std::move(trace_);
    }

    void note_field(const Taint& taint) {
        if (!taint.any() || taint.offset < 16 || found_field_) return;
        if (taint.width != 1 && taint.width != 2 && taint.width != 4 && taint.width != 8) return;
        found_field_ = true;
        if (!field_) trace_.field = IndexField{taint.offset, taint.width};
    }

    /// A branch was decided by a value with this taint. False when it may not be followed.
    bool decide(bool known, const Taint& taint, RemoteAddress target) {
        note_field(taint);
        if (!known) {
            stop_ = DispatchTrace::Stop::unknown;
            return false;
        }
        if (machine_.is_field(taint)) {
            trace_.field = field_;
            trace_.resume_address = target;
            trace_.path.clear();
            trace_.places.clear();
        } else if (taint.any()) {
            stop_ = DispatchTrace::Stop::unknown;  // the user's data
            return false;
        }
        return true;
    }

    void call(const Instruction& instruction) {
        if (!trace_.resume_address.is_null()) {
            stop_ = DispatchTrace::Stop::call;
            trace_.called = instruction.direct_target().value_or(RemoteAddress());
            trace_.first_argument = machine_.held_in(static_cast<std::size_t>(Register::rdi));
            trace_.second_argument = machine_.held_in(static_cast<std::size_t>(Register::rsi));
            return;
        }
        called_before_decision_ = true;
        // Something before the dispatch (mcount, a sanitizer's entry hook): returns zero.
        for (const Register clobbered : {Register::rcx, Register::rdx, Register::rsi, Register::rdi,
                                         Register::r8, Register::r9, Register::r10, Register::r11}) {
            machine_.reg(clobbered) = {};
        }
        machine_.reg(Register::rax) = {0, true, {}};
        machine_.flags().known = false;
    }

    void execute(const Instruction& instruction) {
        // What a flag decides here, a branch on the result would have decided.
        if (instruction.operation == Operation::setcc || instruction.operation == Operation::cmovcc)
            note_field(machine_.flags().taint);
        if (machine_.compute(instruction)) {
            if (const auto& problem = machine_.store_problem())
                stop_ = *problem == InterpretedMachine::StoreProblem::to_index_field
                            ? DispatchTrace::Stop::stored_again
                            : DispatchTrace::Stop::unknown;
            return;
        }
        const InterpretedFlags& flags = machine_.flags();
        switch (instruction.operation) {
            case Operation::jcc: {
                const bool taken = flags.known && machine_.holds(instruction.condition);
                const RemoteAddress target =
                    taken ? instruction.direct_target().value_or(RemoteAddress()) : instruction.next();
                if (decide(flags.known, flags.taint, target)) next_ = target;
                return;
            }
            case Operation::jmp: {
                if (const auto target = instruction.direct_target()) {
                    next_ = *target;
                    return;
                }
                const InterpretedValue value = machine_.read(instruction.operands[0]);
                const RemoteAddress target(value.bits);
                if (decide(value.known, value.taint, target)) next_ = target;
                return;
            }
            case Operation::call:
                call(instruction);
                return;
            case Operation::ret:
                stop_ = DispatchTrace::Stop::returned;
                return;
            default:
                stop_ = DispatchTrace::Stop::unsupported;
                return;
        }
    }

    const InterpretedCode& code_;
    const std::optional<IndexField> field_;
    const std::size_t most_places_;
    InterpretedMachine machine_;
    RemoteAddress next_;
    std::optional<DispatchTrace::Stop> stop_;
    bool found_field_ = false;
    bool called_before_decision_ = false;
    DispatchTrace trace_;
};

}  // namespace

DispatchTrace interpret_dispatch(const InterpretedCode& code, RemoteAddress entry,
                                 std::optional<IndexField> field, std::uint64_t index,
                                 std::size_t most_places) {
    return Interpreter(code, field, index, most_places).run(entry);
}

}  // namespace asyncdump::cpp20
