"""What is wrong with a YAML, for people."""

import yaml


def yaml_fault(text: str, error: yaml.YAMLError) -> str:
    """What is wrong with a text that is no YAML, and in which line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return str(error)
    line = text.splitlines()[min(mark.line, len(text.splitlines()) - 1)]
    if "\t" in line:
        return f"line {mark.line + 1} has a tab; indent with spaces"
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem} in {line.strip()!r}"
