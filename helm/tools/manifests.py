"""Rendered manifests, and what is asked of them again and again."""

import pathlib
import re
import tomllib

import yaml

WORKLOADS = ("Deployment", "StatefulSet")
INSTANCE = "app.kubernetes.io/instance"


def read(file: pathlib.Path) -> list[dict]:
    """The objects of a render, each with the template that it came from as `source`."""
    objects = []
    for text in re.split(r"(?m)^---\s*$", file.read_text()):
        found = re.search(r"(?m)^# Source: (.+)$", text)
        content = yaml.safe_load(text)
        if content:
            objects.append(content | {"source": found.group(1) if found else ""})
    return objects


def title(thing: dict) -> str:
    return f"{thing['kind']}/{thing['metadata']['name']}"


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [thing for thing in objects if thing["kind"] in kinds]


def is_extra(thing: dict) -> bool:
    """Whether it is one of the operator's own objects."""
    return thing["source"].endswith("extra-objects.yaml")


def pods(objects: list[dict]) -> list[tuple[dict, dict]]:
    """Each pod or pod template, with the object that it belongs to."""
    templates = [(thing, thing["spec"]["template"]) for thing in of_kind(objects, *WORKLOADS)]
    return templates + [(thing, thing) for thing in of_kind(objects, "Pod")]


def containers(pod: dict) -> list[dict]:
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def selects(selector: dict, pod: dict) -> bool:
    """Whether matchLabels and matchExpressions (In alone) match a pod's labels."""
    labels = pod["metadata"].get("labels", {})
    exact = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return exact and all(
        rule["operator"] == "In" and labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", [])
    )


def configurations(objects: list[dict]) -> dict[str, dict]:
    """The parsed carillon.toml of each service, by component."""
    return {
        thing["metadata"]["labels"]["app.kubernetes.io/component"]: tomllib.loads(thing["data"]["carillon.toml"])
        for thing in of_kind(objects, "ConfigMap")
        if "carillon.toml" in thing.get("data", {})
    }
