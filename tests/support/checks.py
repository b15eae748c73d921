"""A script's list of cases: each is printed as it is looked at, and the script's exit status tells of all."""

_wrong = []


def check(case, is_right, details=""):
    if not is_right:
        _wrong.append(case)
    print(f"{'ok:   ' if is_right else 'WRONG:'} {case}{'' if is_right else f' {str(details)[:600]!r}'}")


def exit_status():
    """1 when a case was wrong."""
    return 1 if _wrong else 0
