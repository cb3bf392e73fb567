#!/usr/bin/env python3
"""schemas.py FOLDER — JSON schemas for kubeconform, made from the OpenAPI of the cluster that kubectl reaches.

One self-contained file for each kind that the cluster serves, custom resources too; fields that it does not
know are refused.
"""

import json
import pathlib
import subprocess
import sys


def raw(path: str) -> dict:
    done = subprocess.run(["kubectl", "get", "--raw", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def closed(schema, definitions: dict):
    """The schema without references into the document, and with `additionalProperties: false`."""
    if isinstance(schema, list):
        return [closed(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part, definitions) for key, part in schema.items()}
    if isinstance(schema.get("$ref"), str):
        schema["$ref"] = schema["$ref"].replace("#/components/schemas/", "#/definitions/")
    # A quantity and a port may be a text or a number; OpenAPI 3 says so by its own format.
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    if schema.get("nullable"):
        schema = {"anyOf": [{key: part for key, part in schema.items() if key != "nullable"}, {"type": "null"}]}
    elif isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    return schema


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for path, entry in raw("/openapi/v3")["paths"].items():
        if not path.startswith("api"):
            continue
        definitions = raw(entry["serverRelativeURL"]).get("components", {}).get("schemas", {})
        shared = {name: closed(schema, definitions) for name, schema in definitions.items()}
        for schema in definitions.values():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                name = f"{kind['group']}_{kind['version']}_{kind['kind'].lower()}.json"
                top = closed(schema, definitions) | {"definitions": shared}
                (folder / name).write_text(json.dumps(top))
                written += 1
    print(f"{written} schemas")


if __name__ == "__main__":
    main()
