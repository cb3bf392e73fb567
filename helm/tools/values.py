"""The chart's values.yaml with what its comments say.

A comment block directly above a key describes it. In it, lines starting with `@schema` hold JSON that is
merged into the key's schema, and `@map` says that any keys may stand below. A line `# @section Title`
starts a part of the documentation.
"""

import dataclasses
import json
import pathlib
import re

import yaml


@dataclasses.dataclass
class Value:
    """One key of values.yaml."""

    path: str
    default: object
    description: str
    schema: dict
    is_map: bool
    section: str
    children: list


def load(file: pathlib.Path) -> list[Value]:
    """All top-level values, each with those below it."""
    text = file.read_text()
    lines = text.splitlines()
    sections = [
        (number, found.group(1))
        for number, line in enumerate(lines)
        if (found := re.fullmatch(r"# @section (.+)", line))
    ]

    def read(node: yaml.MappingNode, prefix: str) -> list[Value]:
        values = []
        for key, value in node.value:
            line = key.start_mark.line
            comment = comment_above(lines, line, key.start_mark.column)
            description, schema, is_map = interpret(comment, f"{file}:{line + 1}")
            path = f"{prefix}{key.value}"
            # An empty map is there for whatever the reader puts into it.
            is_map = is_map or isinstance(value, yaml.MappingNode) and not value.value
            below = isinstance(value, yaml.MappingNode) and not is_map
            title = [title for start, title in sections if start < line]
            values.append(
                Value(
                    path=path,
                    default=yaml.safe_load(yaml.serialize(value)),
                    description=description,
                    schema=schema,
                    is_map=is_map,
                    section=title[-1] if title else "",
                    children=read(value, f"{path}.") if below else [],
                )
            )
        return values

    return read(yaml.compose(text), "")


def comment_above(lines: list[str], line: int, column: int) -> list[str]:
    """The comment lines directly above, at the same indentation."""
    start = " " * column + "#"
    first = line
    while first > 0 and lines[first - 1].startswith(start):
        first -= 1
    return [text[column + 1 :].strip() for text in lines[first:line]]


def interpret(comment: list[str], where: str) -> tuple[str, dict, bool]:
    """Splits a comment into its text, its schema, and whether it says `@map`."""
    words, schema, is_map = [], {}, False
    for text in comment:
        if text.startswith("@schema "):
            try:
                schema |= json.loads(text.removeprefix("@schema "))
            except json.JSONDecodeError as error:
                raise SystemExit(f"{where}: @schema is not JSON: {error}") from None
        elif text == "@map":
            is_map = True
        elif text.startswith("@") and not text.startswith("@section "):
            raise SystemExit(f"{where}: unknown {text.split()[0]}; use @schema, @map or @section")
        elif not text.startswith("@"):
            words.append(text)
    return " ".join(words), schema, is_map


def walk(values: list[Value]):
    """Every value, each before those below it."""
    for value in values:
        yield value
        yield from walk(value.children)
