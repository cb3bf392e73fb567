#!/usr/bin/env python3
"""tables.py CHART — names, types, nulls and placements: every value of a kind at once, not one for an example."""

import itertools
import json
import pathlib
import re
import sys

from manifests import containers, pods, title
from render import renders
from values import Value, load, walk

# Everything that the chart has a name for.
ALL = {
    "redis": {"mode": "dev"},
    "auth": {"existingSecret": "keys"},
    "tests": {"existingSecret": "login"},
    "gateway": {"autoscaling": {"enabled": True, "cpu": 0}},
    "gatewayApi": {"create": True, "className": "any"},
    "httpRoute": {"enabled": True},
    "ingress": {"enabled": True},
    "networkPolicy": {"defaultDeny": True},
    "metrics": {"podMonitor": {"enabled": True}},
    "disableAPICheck": True,
}
# Helm takes releases of 1 to 53 characters, with digits first and dots within.
RELEASES = ["a", "7", "1.2", "a.b", "a-b", "edge", "carillon", "e" * 53, "e" * 52 + "f", "my-carillon-" + "e" * 41, "a" + "-" * 51 + "b"]
OVERRIDES = [{"fullnameOverride": text} for text in ("b", "9b", "b" * 35, "b" * 36, "b" * 62 + "c", "b" * 62 + "d", "b-" * 31 + "b")]
OVERRIDES += [{"nameOverride": text} for text in ("n", "n" * 63, "n" * 62 + "m")]
# What Kubernetes appends to it has to fit into 63 as well: hash and pod, revision of a StatefulSet.
MOST = {"Deployment": 63 - 17, "StatefulSet": 63 - 11}
LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def names(chart: str) -> list[str]:
    calls = [(chart, ALL, release) for release in RELEASES]
    calls += [(chart, ALL | override, "edge") for override in OVERRIDES]
    problems, owners = [], {}
    for (_, values, release), (objects, said) in zip(calls, renders(calls)):
        case = f"release {release} {json.dumps({k: v for k, v in values.items() if k.endswith('Override')})}"
        if said:
            problems.append(f"{case}: {said.strip()}")
        for thing in objects:
            name = thing["metadata"]["name"]
            if not re.fullmatch("[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > MOST.get(thing["kind"], 63):
                problems.append(f"{case}: {title(thing)} is no name that fits")
            owners.setdefault(title(thing), set()).add(case)
        for thing in [*objects, *(pod for _, pod in pods(objects))]:
            for key, value in thing["metadata"]["labels"].items():
                if not isinstance(value, str) or len(value) > 63 or not LABEL.fullmatch(value):
                    problems.append(f"{case}: the label {key} is {value!r}")
    # Of these, `carillon` and the release of that name are meant to be the same.
    problems += [f"{name} is of {sorted(cases)}" for name, cases in owners.items() if len(cases) > 1]
    return problems


def nested(path: str, value) -> dict:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


def merged(*values: dict) -> dict:
    whole = {}
    for one in values:
        for key, value in one.items():
            both = isinstance(value, dict) and isinstance(whole.get(key), dict)
            whole[key] = merged(whole[key], value) if both else value
    return whole


def is_null(value: Value) -> bool:
    """Whether null may stand there: it means something, or the list or map has nothing in it then."""
    return not value.children and (value.default is None or "null" in value.schema.get("type", ()) or isinstance(value.default, (list, dict)))


def nulls(chart: str, values: list[Value]) -> list[str]:
    everything = list(walk(values))
    # Of a PodDisruptionBudget one number stays.
    may = [value for value in everything if is_null(value) and not value.path.endswith("pdb.maxUnavailable")]
    must = [value for value in everything if not is_null(value)]
    calls = [(chart, merged(ALL, *(nested(value.path, None) for value in may)))]
    # Those of one depth at a time: a section takes with it what is below.
    depth = lambda value: (value.path.count("."), bool(value.children))
    groups = [list(group) for _, group in itertools.groupby(sorted(must, key=depth), depth)]
    calls += [(chart, merged(ALL, *(nested(value.path, None) for value in group))) for group in groups]
    (objects, said), *refused = renders(calls)
    problems = [] if objects else [f"lists and maps that are null: {said.strip()}"]
    for group, (_, said) in zip(groups, refused):
        told = set()
        for place, missing in re.findall(r"at '([^']*)': missing propert(?:y|ies) (.*)", said):
            told |= {f"{place}/{name}".strip("/").replace("/", ".") for name in re.findall(r"'([^']+)'", missing)}
        told |= {place.strip("/").replace("/", ".") for place in re.findall(r"at '([^']*)': got null", said)}
        problems += [f"{value.path}: null is not refused by its name" for value in group if value.path not in told]
        if "executing" in said:
            problems.append(f"{[value.path for value in group][:3]}…: {said.strip()}")
    return problems


LISTED = {
    "extraEnv": [{"name": "A", "value": 1}],
    "tolerations": [{"key": "a", "value": True}],
    "sysctls": [{"name": "a", "value": 600}],
    "dnsConfig": {"options": [{"name": "ndots", "value": 2}]},
}
PLACES = ["extraEnv/0/value", "tolerations/0/value", "sysctls/0/value", "dnsConfig/options/0/value"]


# Where Kubernetes takes texts alone, YAML's numbers and truths are refused: 1.10 would be 1.1.
def types(chart: str, values: list[Value]) -> list[str]:
    kinds = ("Labels", "labels", "nnotations", "nodeSelector")
    maps = [value.path for value in walk(values) if value.path.endswith(kinds)]
    wrong = {"number": 1.10, "whole": 42, "truth": True, "nothing": None, "map": {}}
    calls = [(chart, merged(ALL, *(nested(path, wrong) for path in maps)))]
    listed = [nested(f"{service}.{path}", value) for service in ("gateway", "dispatcher") for path, value in LISTED.items()]
    calls += [(chart, merged(ALL, *listed, nested("tests.tolerations", LISTED["tolerations"]), nested("redis.dev.tolerations", LISTED["tolerations"])))]
    (_, said), (_, variables) = renders(calls)
    wanted = [f"/{path.replace('.', '/')}/{key}'" for path in maps for key in wrong]
    problems = [f"{place[:-1]} is not refused" for place in wanted if place not in said]
    places = [f"/{service}/{path}" for service in ("gateway", "dispatcher") for path in PLACES]
    places += [f"/{owner}/tolerations/0/value" for owner in ("tests", "redis/dev")]
    problems += [f"{place}: what is no text is not refused" for place in places if f"{place}'" not in variables]
    return problems + ([] if len(maps) > 20 else [f"only {maps} hold texts"])


PLACE = {
    "nodeSelector": {"pool": "realtime"},
    "tolerations": [{"key": "realtime", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}},
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "podLabels": {"tier": "any"},
    "podAnnotations": {"note": "any"},
    "podSecurityContext": {"supplementalGroups": [1]},
    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}, "privileged": False},
}
INHERITED = [key for key in PLACE if key not in ("podLabels", "podAnnotations")]
OWNERS = ("gateway", "dispatcher", "redis.dev", "tests")


def placed(pod: dict) -> dict:
    spec, metadata = pod["spec"], pod["metadata"]
    seen = {key: spec.get(key) for key in PLACE}
    seen["securityContext"] = spec["containers"][0]["securityContext"]
    seen["podSecurityContext"] = {key: spec["securityContext"].get(key) for key in PLACE["podSecurityContext"]}
    seen["podLabels"] = {key: metadata["labels"].get(key) for key in PLACE["podLabels"]}
    seen["podAnnotations"] = {key: metadata.get("annotations", {}).get(key) for key in PLACE["podAnnotations"]}
    return seen


def placements(chart: str) -> list[str]:
    pull = {"global": {"imagePullSecrets": ["mirror"], "imageRegistry": "mirror.example.com"}}
    calls = [
        (chart, merged(ALL, pull, *(nested(owner, PLACE) for owner in OWNERS))),
        (chart, merged(ALL, pull, *(nested(owner, PLACE) for owner in OWNERS[:2]))),
        (chart, merged(ALL, {"userFromPlatform": True})),
        (chart, ALL, "carillon", "--api-versions", "security.openshift.io/v1"),
    ]
    problems = []
    for number, (objects, said) in enumerate(renders(calls)):
        there = pods(objects)
        kinds = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for _, pod in there}
        if len(kinds) != len(OWNERS):
            problems.append(f"{sorted(kinds)} are the kinds of pods, not {len(OWNERS)}: {said}")
        for owner, pod in there:
            inherits = number == 1 and pod["metadata"]["labels"]["app.kubernetes.io/component"] in ("redis", "test")
            seen = placed(pod)
            for key in (INHERITED if inherits else PLACE) if number < 2 else ():
                if seen[key] != PLACE[key]:
                    problems.append(f"{title(owner)} does not take {key}: {seen[key]}")
            if number < 2 and pod["spec"].get("imagePullSecrets") != [{"name": "mirror"}]:
                problems.append(f"{title(owner)} has no pull Secret")
            if number < 2 and any(not container["image"].startswith("mirror.example.com/") for container in containers(pod)):
                problems.append(f"{title(owner)} is not from the mirror")
            if number >= 2 and {"runAsUser", "runAsGroup", "fsGroup"} & pod["spec"]["securityContext"].keys():
                problems.append(f"{title(owner)} has a user of its own where the platform gives one")
    return problems


def main() -> int:
    chart = sys.argv[1]
    values = load(pathlib.Path(chart) / "values.yaml")
    problems = names(chart) + nulls(chart, values) + types(chart, values) + placements(chart)
    good = f"{len(RELEASES) + len(OVERRIDES)} names fit, {sum(1 for _ in walk(values))} values take null or refuse it by name, {len(OWNERS)} kinds of pods are placed"
    print("\n".join(problems) or good, file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
