#!/usr/bin/env python3
"""Validates dumps against docs/dump.schema.json.

Usage: validate_schema.py [FILE...]        without a file: standard input

Exit status: 0 all are valid; 1 one is not, or is no JSON (said on standard error, with the place in the document);
77 the Python package jsonschema is missing, which says nothing about the dumps: a test then counts as skipped.
"""
import json
import pathlib
import sys

MOST_ERRORS = 10
SKIPPED = 77

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("not validated: the Python package jsonschema (4.0 or newer) is missing; "
          "Debian has it as python3-jsonschema", file=sys.stderr)
    sys.exit(SKIPPED)


def reject_constant(name):
    raise ValueError(f"{name} is not JSON")


def unique_members(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError(f"an object has a key twice: {[key for key, _ in pairs]}")
    return members


def is_valid(validator, name, content):
    try:
        document = json.loads(content.decode("utf-8"), parse_constant=reject_constant,
                              object_pairs_hook=unique_members)
    except ValueError as error:
        print(f"{name}: no JSON: {error}", file=sys.stderr)
        return False
    errors = 0
    for error in validator.iter_errors(document):
        errors += 1
        if errors > MOST_ERRORS:
            print(f"{name}: and more", file=sys.stderr)
            break
        print(f"{name}: {error.json_path}: {error.message[:500]}", file=sys.stderr)
    return errors == 0


def main():
    schema_file = pathlib.Path(__file__).resolve().parents[2] / "docs" / "dump.schema.json"
    schema = json.loads(schema_file.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    if len(sys.argv) > 1:
        dumps = [(name, pathlib.Path(name).read_bytes()) for name in sys.argv[1:]]
    else:
        dumps = [("standard input", sys.stdin.buffer.read())]
    results = [is_valid(validator, name, content) for name, content in dumps]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
