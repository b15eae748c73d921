"""Function names of a dump, brought into the form in which the targets write theirs."""

import re

_LAMBDA = re.compile(r"\{lambda\([^{}]*\)(?:#\d+)?\}|\$_\d+|'lambda\d*'(?:\([^()]*\))?|<lambda\([^<>]*\)>")
_CALL_OPERATOR = "\x01"


def _without_balanced(text, opening, closing):
    kept, depth = [], 0
    for character in text:
        if character == opening:
            depth += 1
        elif character == closing and depth > 0:
            depth -= 1
        elif depth == 0:
            kept.append(character)
    return "".join(kept)


def _last_word(text):
    """`Task foo` -> `foo`: templates are demangled with their return type. Spaces in template arguments do not count."""
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        character = text[position]
        if character == ">":
            depth += 1
        elif character == "<":
            depth -= 1
        elif character == " " and depth == 0:
            return text[position + 1:]
    return text


def readable(name):
    """-> (with template arguments, without). Parameters, return type, qualifiers and unnamed namespaces are gone."""
    name = name.replace("(anonymous namespace)::", "").replace("{anonymous}::", "")
    previous = None
    while previous != name:  # a lambda's parameter may be a lambda's type
        previous, name = name, _LAMBDA.sub("lambda", name)
    name = name.replace("operator()", _CALL_OPERATOR)
    name = re.sub(r"\[[^\]]*\]", "", name).strip()
    name = _without_balanced(name, "(", ")")
    name = re.sub(r"(?: (?:const|volatile|noexcept|&|&&))+$", "", name).strip()
    full = re.sub(r"\s*([,<>])\s*", r"\1", _last_word(name)).replace(",", ", ")
    bare = _last_word(_without_balanced(name, "<", ">"))
    return full.replace(_CALL_OPERATOR, "operator()"), bare.replace(_CALL_OPERATOR, "operator()")


class NameTable:
    """Maps the functions of a dump to the names that the truth uses; what the truth does not know keeps its own."""

    def __init__(self, known):
        self._known = sorted({name.replace(",", ", ").replace(",  ", ", ") for name in known}, key=len, reverse=True)
        self._cache = {}

    def of(self, function):
        if function not in self._cache:
            self._cache[function] = self._look_up(function)
        return self._cache[function]

    def _look_up(self, function):
        full, bare = readable(function)
        for known in self._known:
            candidate = full if "<" in known else bare
            if candidate == known or candidate.endswith("::" + known):
                return known
        return bare
