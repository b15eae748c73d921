// Coroutines of every kind of name, for the names that compilers give to their parts.
#include <coroutine>
#include <string>
#include <vector>

struct Task {
    struct promise_type {
        Task get_return_object() { return {}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};
struct Opaque {  // keeps the optimiser from knowing whether the coroutine goes on
    bool await_ready() noexcept;
    void await_suspend(std::coroutine_handle<>) noexcept;
    void await_resume();
};

Task plain(int x) {
    co_await Opaque{};
    if (x) throw x;
}
static Task internal(int) {
    co_await Opaque{};
}
namespace outer {
namespace {
Task anonymous(int) {
    co_await Opaque{};
}
}  // namespace
Task name_with_Frame_inside() {
    co_await Opaque{};
}
struct Object {
    Task member(std::string text) const;
    Task operator()(int);
    template <class T>
    Task member_template(T t);
};
Task Object::member(std::string) const {
    co_await Opaque{};
}
Task Object::operator()(int) {
    co_await Opaque{};
}
template <class T>
Task Object::member_template(T) {
    co_await Opaque{};
}
template <class T>
Task function_template(T, std::vector<T>) {
    co_await Opaque{};
}
template <class T>
struct ClassTemplate {
    Task member(T) { co_await Opaque{}; }
};
}  // namespace outer

Task lambda_coroutines() {
    auto lambda = [](int) -> Task { co_await Opaque{}; };
    auto generic = [](auto) -> Task {
        co_await Opaque{};
        auto nested = [](int) -> Task { co_await Opaque{}; };
        nested(1);
    };
    struct Local {
        Task member() { co_await Opaque{}; }
    };
    struct Frame {
        Task actor() { co_await Opaque{}; }
        Task destroy() { co_await Opaque{}; }
    };
    lambda(1);
    generic("text");
    Local().member();
    Frame().actor();
    Frame().destroy();
    return {};
}

bool Opaque::await_ready() noexcept {
    return false;
}
void Opaque::await_suspend(std::coroutine_handle<>) noexcept {}
void Opaque::await_resume() {}

int main() {
    plain(1);
    internal(1);
    outer::anonymous(1);
    outer::name_with_Frame_inside();
    outer::Object object;
    object.member("x");
    object(1);
    object.member_template(3.0);
    outer::function_template(1, {});
    outer::ClassTemplate<outer::Object>().member({});
    lambda_coroutines();
}
