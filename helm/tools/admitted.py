#!/usr/bin/env python3
"""admitted.py RENDER NAMESPACE — the objects of a render, and each pod template as a Pod besides.

Pod Security refuses pods alone, not Deployments, so a dry run sees it only if the pods stand there themselves.
"""

import pathlib
import sys

import yaml

from manifests import WORKLOADS, pods, read


def main() -> None:
    namespace = sys.argv[2]
    objects = read(pathlib.Path(sys.argv[1]))
    for owner, pod in pods(objects):
        if owner["kind"] not in WORKLOADS:
            # A pod of its own, such as the test's, is asked for its account and its runtime as well.
            for absent in ("serviceAccountName", "runtimeClassName"):
                pod["spec"].pop(absent, None)
            continue
        spec = dict(pod["spec"])
        claims = owner["spec"].get("volumeClaimTemplates", [])
        spec["volumes"] = spec.get("volumes", []) + [
            {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": "any"}} for claim in claims
        ]
        # Neither is there in a dry run.
        spec.pop("serviceAccountName", None)
        spec.pop("runtimeClassName", None)
        objects.append({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{owner['metadata']['name']}-pod", "labels": pod["metadata"]["labels"]},
            "spec": spec,
        })
    for thing in objects:
        thing.pop("source", None)
        thing["metadata"].setdefault("namespace", namespace)
        thing["metadata"]["namespace"] = namespace
    print(yaml.safe_dump_all(objects, sort_keys=False))


if __name__ == "__main__":
    main()
