#!/usr/bin/env python3
"""schemas.py FOLDER — JSON schemas for kubeconform, made from the OpenAPI of the cluster that kubectl reaches.

One self-contained file for each kind that the cluster serves, custom resources too; fields that it does not
know are refused.
"""

import json
import pathlib
import subprocess
import sys

ALTERNATIVES = ("anyOf", "oneOf", "allOf", "not")


def raw(path: str) -> dict:
    done = subprocess.run(["kubectl", "get", "--raw", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def closed(schema, alternative: bool = False):
    """The schema with references into its own file, and with `additionalProperties: false`.

    An alternative speaks of some of the fields alone, and must not refuse the others.
    """
    if isinstance(schema, list):
        return [closed(part, alternative) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part, alternative or key in ALTERNATIVES) for key, part in schema.items()}
    if isinstance(schema.get("$ref"), str):
        schema["$ref"] = schema["$ref"].replace("#/components/schemas/", "#/definitions/")
    # A quantity and a port may be a text or a number; OpenAPI 3 says so by its own format.
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    if schema.get("nullable"):
        schema = {"anyOf": [{key: part for key, part in schema.items() if key != "nullable"}, {"type": "null"}]}
    elif not alternative and isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", bool(schema.get("x-kubernetes-preserve-unknown-fields")))
    return schema


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    # Without the hash that the index names: definitions that have just come change it.
    for path in raw("/openapi/v3")["paths"]:
        if not path.startswith("api"):
            continue
        definitions = raw(f"/openapi/v3/{path}").get("components", {}).get("schemas", {})
        # `allOf` around one reference is how OpenAPI gives it a description.
        shared = {name: closed(schema) for name, schema in definitions.items()}
        for schema in definitions.values():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                # kubeconform takes `v1` for the group of the core.
                group = kind["group"] or kind["version"]
                name = f"{group}_{kind['version']}_{kind['kind'].lower()}.json"
                top = closed(schema) | {"definitions": shared}
                (folder / name).write_text(json.dumps(top))
                written += 1
    print(f"{written} schemas")


if __name__ == "__main__":
    main()
