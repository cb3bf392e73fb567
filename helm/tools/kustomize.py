#!/usr/bin/env python3
"""kustomize.py RENDER FOLDER [TEMPLATE] — one file for each object of a render, and their kustomization.

Of those that come from templates whose path matches TEMPLATE, a regular expression; without what Helm needs
(its labels, the source comments) and without the namespace, which an overlay sets.
"""

import pathlib
import re
import sys

import yaml

from manifests import read

HELM = ("helm.sh/chart", "app.kubernetes.io/managed-by")
HEAD = "# Rendered from helm/carillon by scripts/chart docs; change the chart, not this.\n"


class Dumper(yaml.SafeDumper):
    """Indents lists, and writes texts of several lines as such."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)


Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def main() -> None:
    folder = pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    wanted = re.compile(sys.argv[3] if len(sys.argv) > 3 else "")
    names = []
    for thing in sorted(read(pathlib.Path(sys.argv[1])), key=lambda it: (it["metadata"]["name"], it["kind"])):
        if not wanted.search(thing.pop("source")):
            continue
        for label in HELM:
            thing["metadata"]["labels"].pop(label, None)
        for subject in thing.get("subjects", []):
            # kustomize sets it with the overlay's namespace, if it finds this one.
            subject["namespace"] = "default"
        # Without the hash of a configuration: a change to it is a diff then, not a file that goes and one that comes.
        stem = re.sub(r"-[0-9a-f]{10}$", "", thing["metadata"]["name"]) if thing["kind"] == "ConfigMap" else thing["metadata"]["name"]
        name = f"{stem}-{thing['kind'].lower()}.yaml"
        (folder / name).write_text(HEAD + yaml.dump(thing, Dumper=Dumper, sort_keys=False, width=120))
        names.append(name)
    tree = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names}
    (folder / "kustomization.yaml").write_text(HEAD + yaml.dump(tree, Dumper=Dumper, sort_keys=False))
    for file in folder.glob("*.yaml"):
        if file.name not in [*names, "kustomization.yaml"]:
            file.unlink()


if __name__ == "__main__":
    main()
