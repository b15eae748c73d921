"""The coroutines of a dump as a graph: its own consistency, and its chains with a library's coroutines folded away."""

from collections import Counter

from readable_names import NameTable


def is_apart(coroutine):
    return any(problem["code"] == "unreferenced" for problem in coroutine["problems"])


def inconsistencies(dump):
    """What contradicts itself in a dump, whatever the target was."""
    wrong = []
    by_id = {}
    for coroutine in dump["coroutines"]:
        if coroutine["id"] in by_id:
            wrong.append(f"coroutine {coroutine['id']} is listed twice")
        by_id[coroutine["id"]] = coroutine
    tasks = {}
    for task in dump["tasks"]:
        if task["id"] in tasks:
            wrong.append(f"task {task['id']} is listed twice")
        tasks[task["id"]] = task

    for identity, coroutine in by_id.items():
        for one, other in (("awaits", "awaited_by"), ("awaited_by", "awaits")):
            if len(set(coroutine[one])) != len(coroutine[one]):
                wrong.append(f"{one} of {identity} names a coroutine twice")
            for peer in coroutine[one]:
                if peer not in by_id:
                    wrong.append(f"{one} of {identity} names {peer}, which is not listed")
                elif identity not in by_id[peer][other]:
                    wrong.append(f"{identity} has {peer} in {one}, but is not in the {other} of {peer}")
        if coroutine["task"] is None:
            if not is_apart(coroutine):
                wrong.append(f"{identity} is in no task, but has no problem 'unreferenced'")
        elif coroutine["task"] not in tasks:
            wrong.append(f"{identity} is in task {coroutine['task']}, which is not listed")

    members = Counter(coroutine["task"] for coroutine in by_id.values())
    for task in tasks.values():
        root = by_id.get(task["root"])
        if root is None or root["task"] != task["id"]:
            wrong.append(f"the root of task {task['id']} is not a coroutine of this task")
        if members[task["id"]] != task["coroutines"]:
            wrong.append(f"task {task['id']} says {task['coroutines']} coroutines, {members[task['id']]} name it")
    for identity, coroutine in by_id.items():
        if coroutine["task"] in tasks and not coroutine["awaited_by"] and tasks[coroutine["task"]]["root"] != identity:
            wrong.append(f"{identity} is awaited by nobody, but is not the root of its task")
    for thread in dump["threads"]:
        for frame in thread["frames"]:
            if frame["coroutine"] is not None and frame["coroutine"] not in by_id:
                wrong.append(f"a frame of thread {thread['tid']} names {frame['coroutine']}, which is not listed")
    return wrong


class Node:
    __slots__ = ("identity", "function", "state", "location", "children", "has_parent")

    def __init__(self, coroutine, function):
        self.identity = coroutine["id"]
        self.function = function
        self.state = coroutine["state"]
        self.location = coroutine["suspended_at"]
        self.children = []
        self.has_parent = False


class FoldedGraph:
    def __init__(self, dump, known_names):
        by_id = {coroutine["id"]: coroutine for coroutine in dump["coroutines"]}
        names = NameTable(known_names)
        self.apart = [names.of(c["function"]) for c in by_id.values() if is_apart(c) and not c["internal"]]
        self.nodes = {identity: Node(c, names.of(c["function"]))
                      for identity, c in by_id.items() if not c["internal"] and not is_apart(c)}
        for node in self.nodes.values():
            self._connect(node, by_id)
        self.edges = sum(len(node.children) for node in self.nodes.values())

    def _connect(self, node, by_id):
        seen, to_visit = set(), list(by_id[node.identity]["awaits"])
        while to_visit:
            identity = to_visit.pop()
            if identity in seen or identity not in by_id:
                continue
            seen.add(identity)
            if identity in self.nodes:
                node.children.append(self.nodes[identity])
                self.nodes[identity].has_parent = True
            else:
                to_visit += by_id[identity]["awaits"]

    def chains(self, limit=100_000):
        """Every path from a root to a leaf as a list of nodes. A path that meets itself ends with the node it met."""
        visited, found = set(), []
        roots = [node for node in self.nodes.values() if not node.has_parent]
        for root in roots:
            self._paths_from(root, visited, found, limit)
        for node in self.nodes.values():  # circles that nobody outside awaits
            if node.identity not in visited:
                self._paths_from(node, visited, found, limit)
        return found

    def _paths_from(self, root, visited, found, limit):
        path, on_path = [], set()
        to_do = [(root, False)]
        while to_do:
            node, leaving = to_do.pop()
            if leaving:
                path.pop()
                on_path.discard(node.identity)
                continue
            if node.identity in on_path or not node.children:
                visited.add(node.identity)
                found.append(path + [node])
                if len(found) > limit:
                    raise ValueError("more chains than any target has")
                continue
            visited.add(node.identity)
            path.append(node)
            on_path.add(node.identity)
            to_do.append((node, True))
            to_do += [(child, False) for child in node.children]
