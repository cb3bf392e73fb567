#!/usr/bin/env python3
"""Finds values that no template uses: changes each one and looks for a render that differs.

unused.py CHART VALUES...  VALUES are value sets to try it with, in this order
"""

import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

from values import Value, load, walk


# Those that change nothing where no cluster is asked; unit tests have one.
IN_A_CLUSTER = {"keepOldConfigs"}


def others(value: Value) -> list:
    """Values that are plausible in the place of the default; a set may have one of them already."""
    if "enum" in value.schema:
        return value.schema["enum"]
    match value.default:
        case bool():
            return [True, False]
        case int():
            return [value.default + 7]
        case None:
            return [77]
        case str():
            return [f"{value.default}changed"]
        case list():
            of_maps = "object" in json.dumps(value.schema)
            return [[{"name": "changed", "mountPath": "/changed"}] if of_maps else ["changed"]]
    return [{"changed": {"changed": "changed"} if value.path == "config" else "changed"}]


def render(chart: str, values: str, *options: str) -> str:
    command = ["helm", "template", "c", chart, "-f", values, "--skip-schema-validation", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # A guard that refuses the change uses the value as well.
    return done.stdout if done.returncode == 0 else done.stderr


def used(chart: str, sets: dict[str, str], value: Value) -> bool:
    options = [f"{value.path}={json.dumps(other)}" for other in others(value)]
    return any(
        render(chart, values, "--set-json", option) != before for values, before in sets.items() for option in options
    )


def main() -> int:
    chart, names = sys.argv[1], sys.argv[2:]
    leaves = [value for value in walk(load(pathlib.Path(chart) / "values.yaml")) if not value.children and value.path not in IN_A_CLUSTER]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sets = dict(zip(names, pool.map(lambda values: render(chart, values), names)))
        results = pool.map(lambda value: used(chart, sets, value), leaves)
        unused = [value.path for value, result in zip(leaves, results) if not result]
    for path in unused:
        print(f"{path}: no template uses it", file=sys.stderr)
    print(f"{len(leaves) - len(unused)} of {len(leaves)} values change a render")
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main())
