#!/usr/bin/env python3
"""Makes values.schema.json and the table in README.md out of a chart's values.yaml.

docs.py CHART          writes them
docs.py CHART --check  fails if they are not what it would write
"""

import json
import pathlib
import re
import sys

from values import Value, load, walk

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
BEGIN, END = "<!-- values: made by scripts/chart docs -->", "<!-- end of values -->"


def schema_of(value: Value) -> dict:
    """The JSON schema of one value."""
    schema = {"description": value.description} if value.description else {}
    if not any(key in value.schema for key in ("type", "enum", "anyOf", "const")):
        if value.default is None:
            raise SystemExit(f"{value.path}: a default of null has no type; say it with @schema")
        schema["type"] = TYPES[type(value.default)]
    if isinstance(value.default, list) and "items" not in value.schema:
        schema["items"] = {"type": "string"}
    if value.children:
        schema["properties"] = {name(child): schema_of(child) for child in value.children}
        schema |= closed(value.children)
    return schema | value.schema


def closed(children: list[Value]) -> dict:
    """What a section may hold: its own keys, and those that start with `x-`, which are for anchors.

    A key that is set to null is gone for Helm, and templates would fall over it: sections and single values have
    to be there. Lists and maps may be gone, and whatever may be null.
    """
    needed = [
        name(child) for child in children
        if child.children or not (isinstance(child.default, (list, dict)) or "null" in child.schema.get("type", ()))
    ]
    return {"required": needed, "additionalProperties": False, "patternProperties": {"^x-": {}}}


def name(value: Value) -> str:
    return value.path.rsplit(".", 1)[-1]


def schema_text(values: list[Value]) -> str:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Carillon chart",
        "description": "Made from values.yaml by scripts/chart docs.",
        "type": "object",
        "properties": {value.path: schema_of(value) for value in values},
    } | closed(values)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def table(values: list[Value]) -> str:
    """One table a section: a row for each value that can be set."""
    parts, section = [], None
    for value in walk(values):
        if value.section != section:
            section = value.section
            parts.append(f"\n### {section}\n\n| value | default | |\n|---|---|---|")
        if value.children and not value.description:
            continue
        default = "" if value.children else f"`{json.dumps(value.default, ensure_ascii=False)}`"
        # A bar would end the cell.
        cells = [f"`{value.path}`", default, value.description]
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts).strip() + "\n"


def main() -> int:
    chart = pathlib.Path(sys.argv[1])
    values = load(chart / "values.yaml")
    readme = chart / "README.md"
    text = readme.read_text()
    pattern = re.compile(re.escape(BEGIN) + r"\n.*?" + re.escape(END), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"{readme}: the lines `{BEGIN}` and `{END}` must stand there once")
    filled = pattern.sub(lambda _: f"{BEGIN}\n\n{table(values)}\n{END}", text)
    drifted = []
    for file, wanted in ((chart / "values.schema.json", schema_text(values)), (readme, filled)):
        if file.exists() and file.read_text() == wanted:
            continue
        drifted.append(str(file))
        if "--check" not in sys.argv:
            file.write_text(wanted)
            print(f"wrote {file}")
    if drifted and "--check" in sys.argv:
        print(f"not made from the present values.yaml: {', '.join(drifted)}; run scripts/chart docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
