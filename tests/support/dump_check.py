"""Compares a dump with a target's truth. Every function returns a list of sentences about what is wrong."""

import re
from collections import Counter, defaultdict

from dump_graph import FoldedGraph, inconsistencies
from live_target import WATCHER
from readable_names import NameTable


def _rotated(functions):
    """A chain that ends where it came by before: the circle, beginning at its smallest element."""
    circle = list(functions[:-1])
    turns = [tuple(circle[i:] + circle[:i]) for i in range(len(circle))]
    return min(turns)


def _structure(elements):
    names = tuple((element_name, state) for element_name, state in elements)
    if len(names) > 1 and names[0] == names[-1] and names.count(names[0]) == 2:
        turned = _rotated(names)
        return turned + (turned[0],)
    return names


def _in_words(structure):
    words, previous, times = [], None, 0
    for element in list(structure) + [None]:
        if element == previous:
            times += 1
            continue
        if previous is not None:
            name, state = previous
            words.append(name + ("" if state == "suspended" else f" [{state}]") + (f" x {times}" if times > 1 else ""))
        previous, times = element, 1
    return " > ".join(words)


def _compare_multisets(expected, found, in_words, what):
    wrong = []
    for item, times in (expected - found).items():
        wrong.append(f"{what} missing{f' {times} times' if times > 1 else ''}: {in_words(item)}")
    for item, times in (found - expected).items():
        wrong.append(f"{what} too many{f' {times} times' if times > 1 else ''}: {in_words(item)}")
    return wrong


def _known_names(truth):
    names = {element.name for chain in truth.chains for element in chain}
    return names | truth.doubtful | truth.absent | truth.passing


def check_structure(dump, truth):
    wrong = inconsistencies(dump)
    graph = FoldedGraph(dump, _known_names(truth))
    if truth.count is not None and len(graph.nodes) != truth.count:
        wrong.append(f"{len(graph.nodes)} coroutines instead of {truth.count}")
    if truth.edges is not None and graph.edges != truth.edges:
        wrong.append(f"{graph.edges} await edges instead of {truth.edges}")
    for function in graph.apart:
        if function not in truth.doubtful | truth.passing:
            wrong.append(f"{function} stands apart as unreferenced, but it is not")
    for node in graph.nodes.values():
        if node.function in truth.absent:
            wrong.append(f"{node.function} at {node.identity} is shown, but is not there")
    expected = Counter(_structure([(e.name, e.state) for e in chain]) for chain in truth.chains)
    found = Counter(_structure([(n.function, n.state) for n in chain]) for chain in graph.chains()
                    if not all(n.function in truth.passing for n in chain))
    return wrong + _compare_multisets(expected, found, _in_words, "chain")


def check_declarations(dump):
    """Whose co_await has an exact line has a declaration, too, not behind it."""
    wrong = []
    for coroutine in dump["coroutines"]:
        at, declared = coroutine["suspended_at"], coroutine["declared_at"]
        if at is None or not at["exact"]:
            continue
        if declared is None:
            wrong.append(f"{coroutine['function']} has no declaration")
        elif declared["file"].startswith("/") != at["file"].startswith("/"):
            wrong.append(f"{coroutine['function']} is declared in {declared['file']}, suspended in {at['file']}")
        elif declared["file"] == at["file"] and declared["line"] > at["line"]:
            wrong.append(f"{coroutine['function']} is declared at {declared['line']} and suspended at {at['line']}")
    return wrong


def check_lines(dump, truth, near_is_wrong=True, none_is_wrong=True):
    """Each coroutine's line, by function: those of the truth, each of them somewhere, and exactly unless near will do.
    The chains' structure is checked elsewhere."""
    expected = defaultdict(set)  # function -> the lines at which it is suspended
    untold = set()               # functions for which the truth leaves some line open
    for element in {element for chain in truth.chains for element in chain}:
        if element.line is not None:
            expected[element.name].add(element.line)
        elif element.state == "suspended":
            untold.add(element.name)
    wrong, unseen, has_near = Counter(), {name: set(lines) for name, lines in expected.items()}, set()
    for node in FoldedGraph(dump, _known_names(truth)).nodes.values():
        lines = expected.get(node.function)
        if not lines or node.state in ("created", "done", "running") or node.function in untold:
            continue
        told = " or ".join(str(line) for line in sorted(lines))
        if node.location is None:
            if none_is_wrong:
                wrong[f"no line for {node.function}, which is suspended at {told}"] += 1
            has_near.add(node.function)
            continue
        line, is_exact = node.location["line"], node.location["exact"]
        unseen[node.function].discard(line)
        if not is_exact:
            has_near.add(node.function)
            if near_is_wrong:
                verdict = "right, but not exact" if line in lines else f"it is {told}"
                wrong[f"{node.function} is shown near line {line}: {verdict}"] += 1
        elif line not in lines:
            wrong[f"{node.function} is shown at exactly line {line} instead of {told}"] += 1
    for function, lines in unseen.items():
        if lines and not wrong and function not in untold | has_near:
            wrong[f"nothing is shown at line {sorted(lines)[0]} of {function}"] += 1
    return [f"{sentence}{f' ({times} times)' if times > 1 else ''}" for sentence, times in wrong.items()]


def check_summaries(dump, truth):
    """Each summary of the truth belongs to a coroutine of its own."""
    wrong = []
    left = [c["awaiting"]["summary"] for c in dump["coroutines"] if c["awaiting"] and c["awaiting"]["summary"]]
    for expression in truth.summaries:
        found = next((summary for summary in left if re.fullmatch(expression, summary)), None)
        if found is None:
            wrong.append(f"nothing waits for {expression!r}; summaries: {sorted(set(left))}")
        else:
            left.remove(found)
    return wrong


def check_threads(dump, truth):
    wrong = []
    threads = [thread for thread in dump["threads"] if thread["name"] != WATCHER]
    if len(threads) != len(dump["threads"]) - 1:
        wrong.append(f"the thread {WATCHER} is listed {len(dump['threads']) - len(threads)} times instead of once")
    if truth.threads is not None and len(threads) != truth.threads:
        wrong.append(f"{len(threads)} threads instead of {truth.threads}")
    names = NameTable({function for _, function in truth.thread_functions})
    for name, times in Counter(truth.thread_functions).items():
        thread_name, function = name
        with_it = [thread for thread in threads if thread["name"] == thread_name and
                   any(names.of(frame["function"]) == function for frame in thread["frames"])]
        if len(with_it) < times:
            wrong.append(f"{len(with_it)} threads {thread_name!r} with {function} on the stack instead of {times}")
    for name, times in Counter(truth.waits).items():
        thread_name, system_call = name
        with_it = [t for t in threads if t["name"] == thread_name and t["syscall"] == system_call]
        if len(with_it) != times:
            seen = Counter(t["syscall"] for t in threads if t["name"] == thread_name)
            wrong.append(f"{len(with_it)} threads {thread_name!r} in {system_call} instead of {times}: {dict(seen)}")
    for name, frames in truth.depths:
        deepest = max((len(thread["frames"]) for thread in threads if thread["name"] == name), default=0)
        if deepest < frames:
            wrong.append(f"the stack of {name!r} has {deepest} frames instead of {frames}")
    for thread in threads:
        if not thread["frames"]:
            wrong.append(f"thread {thread['tid']} ({thread['name']}) has no stack")
    return wrong


def is_harmless(text, line_breaks=False):
    """No control characters, no marks that turn the direction of writing."""
    for character in text:
        code = ord(character)
        if line_breaks and character == "\n":
            continue
        if code < 0x20 or 0x7F <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
            return False
    return True


def check_harmless(printed):
    """The bytes of the JSON as a terminal would get them: whatever is dangerous has to be escaped."""
    wrong = [line for line in printed.decode("utf-8").splitlines() if not is_harmless(line)]
    return [f"the JSON is not harmless where it says {line[:200]!r}" for line in wrong]


def check_text(printed, truth):
    """The text report: harmless, and it names every function of the chains and every thread's function."""
    try:
        text = printed.decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"the text is not UTF-8: {error}"]
    wrong = []
    if not is_harmless(text, line_breaks=True):
        wrong.append("the text holds control characters")
    names = _known_names(truth) - truth.doubtful - truth.absent - truth.passing
    for name in names | {function for _, function in truth.thread_functions}:
        last = name.split("<")[0].split("::")[-1]
        if "lambda" not in name and last.isascii() and last not in text:
            wrong.append(f"the text does not name {name}")
    return wrong


def check_problems(dump, truth, status):
    wrong = []
    codes = {problem["code"] for problem in dump["problems"]}
    for code in truth.problems - codes:
        wrong.append(f"the problem {code} is not said; said are: {sorted(codes) or 'none'}")
    if not truth.problems and not dump["capture"]["complete"]:
        wrong.append("the dump is not complete: " + "; ".join(p["message"] for p in dump["problems"]))
    expected_status = 0 if dump["capture"]["complete"] else 1
    if status != expected_status:
        wrong.append(f"exit status {status} instead of {expected_status}")
    return wrong
