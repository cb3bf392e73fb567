#!/usr/bin/env python3
"""What holds for every render of the chart, whatever the values.

invariants.py CARILLON_TOML RENDER...  each RENDER is the output of one `helm template`
"""

import pathlib
import re
import sys
import tomllib

from manifests import (
    INSTANCE, WORKLOADS, configurations, containers, is_extra, of_kind, pods, read, selects, title,
)

# Sections that one service alone reads: in the other's file they would restart it for nothing.
ONLY = {
    "gateway": {"gateway", "socket", "audit"},
    "dispatcher": {"canary", "dispatcher", "idempotency", "kubernetes"},
}


def restricted(owner: dict, pod: dict):
    """Pod Security Standard `restricted`, and a little more."""
    spec = pod["spec"]
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "the pod is not runAsNonRoot with seccomp RuntimeDefault"
    if "automountServiceAccountToken" not in spec or spec.get("enableServiceLinks") is not False:
        yield "the pod does not say automountServiceAccountToken and enableServiceLinks: false"
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield "the pod uses the host's namespaces"
    for volume in spec.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is a path of the host"
    for container in containers(pod):
        own = container.get("securityContext", {})
        if (
            own.get("allowPrivilegeEscalation") is not False
            or own.get("readOnlyRootFilesystem") is not True
            or own.get("capabilities", {}).get("drop") != ["ALL"]
            or own.get("privileged")
        ):
            yield f"container {container['name']} can gain rights"


def described(owner: dict, pod: dict):
    """Limits, probes, named ports, an image that stays the same."""
    for container in containers(pod):
        name = container["name"]
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"container {name} has no memory limit"
        if not re.search(r"@sha256:[0-9a-f]{64}$|:(?!latest$)[^:/]+$", container["image"]):
            yield f"container {name} has no version: {container['image']}"
        names = [variable["name"] for variable in container.get("env", [])]
        if len(names) != len(set(names)):
            yield f"container {name} has a variable twice"
        if owner["kind"] == "Pod" or not container.get("ports"):
            continue
        if any(not port.get("name") for port in container["ports"]):
            yield f"container {name} has a port without a name"
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"container {name} has no {probe}"


def complete(owner: dict, pod: dict, objects: list[dict]):
    """What a pod refers to is rendered with it; Secrets are the operator's."""
    names = {kind: {thing["metadata"]["name"] for thing in of_kind(objects, kind)} for kind in ("ConfigMap", "ServiceAccount")}
    for volume in pod["spec"].get("volumes", []):
        if "configMap" in volume and volume["configMap"]["name"] not in names["ConfigMap"]:
            yield f"volume {volume['name']} is of a ConfigMap that is not there"
    account = pod["spec"].get("serviceAccountName", "default")
    if account != "default" and account not in names["ServiceAccount"]:
        yield f"its ServiceAccount {account} is not there"
    mounted = {mount["name"] for container in containers(pod) for mount in container.get("volumeMounts", [])}
    claims = {claim["metadata"]["name"] for claim in owner.get("spec", {}).get("volumeClaimTemplates", [])}
    there = {volume["name"] for volume in pod["spec"].get("volumes", [])} | claims
    if mounted != there:
        yield f"volumes {sorted(there)}, but mounted are {sorted(mounted)}"


def selected(objects: list[dict]):
    """Selectors are disjoint, and each matches what it is for."""
    templates = pods(objects)
    for thing in of_kind(objects, *WORKLOADS):
        chosen = [title(owner) for owner, pod in templates if selects(thing["spec"]["selector"], pod)]
        if chosen != [title(thing)]:
            yield f"{title(thing)} selects {chosen}"
    for thing in of_kind(objects, "Service"):
        if is_extra(thing):
            continue
        chosen = [pod for _, pod in templates if selects({"matchLabels": thing["spec"]["selector"]}, pod)]
        if len(chosen) != 1:
            yield f"{title(thing)} selects {len(chosen)} kinds of pods"
            continue
        ports = {port["name"] for container in containers(chosen[0]) for port in container.get("ports", [])}
        for port in thing["spec"]["ports"]:
            if port["targetPort"] == "admin" or port["targetPort"] not in ports:
                yield f"{title(thing)} leads to the port {port['targetPort']}"
    for thing in of_kind(objects, "PodDisruptionBudget"):
        chosen = [owner for owner, pod in templates if selects(thing["spec"]["selector"], pod)]
        if len(chosen) != 1 or ("maxUnavailable" in thing["spec"]) == ("minAvailable" in thing["spec"]):
            yield f"{title(thing)} is not about one Deployment and one number"


def routed(objects: list[dict]):
    """Routes lead to ports of Services that are there; the admin port is in none."""
    ports = {}
    for thing in of_kind(objects, "Service"):
        for port in thing["spec"]["ports"]:
            ports[thing["metadata"]["name"], port["name"]] = True
            ports[thing["metadata"]["name"], port["port"]] = True
    for thing in of_kind(objects, "Ingress"):
        for rule in thing["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                if (service["name"], *service["port"].values()) not in ports:
                    yield f"{title(thing)} leads {path['path']} to nothing"
    for thing in of_kind(objects, "HTTPRoute"):
        for rule in thing["spec"]["rules"]:
            for backend in rule["backendRefs"]:
                if (backend["name"], backend["port"]) not in ports:
                    yield f"{title(thing)} leads to nothing"


def scaled(objects: list[dict]):
    """Whoever is scaled by an autoscaler has no `replicas`, everyone else has."""
    targets = {
        thing["spec"]["scaleTargetRef"]["name"] for thing in of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    }
    deployments = {thing["metadata"]["name"]: thing for thing in of_kind(objects, "Deployment")}
    for name in targets - deployments.keys():
        yield f"an autoscaler is for {name}, which is not there"
    for name, thing in deployments.items():
        if ("replicas" in thing["spec"]) == (name in targets):
            yield f"{title(thing)} has replicas although it is scaled, or has none although it is not"


def guarded(objects: list[dict]):
    """With network policies on, each pod has one for both directions."""
    policies = of_kind(objects, "NetworkPolicy", "CiliumNetworkPolicy")
    if not policies:
        return
    for owner, pod in pods(objects):
        own = [
            thing["spec"]
            for thing in policies
            if selects(thing["spec"].get("podSelector") or thing["spec"].get("endpointSelector"), pod)
        ]
        if not any(spec.get("policyTypes") == ["Ingress", "Egress"] or "ingress" in spec and "egress" in spec for spec in own):
            yield f"{title(owner)} has no network policy"


def labelled(objects: list[dict]):
    """What Helm renders says what it belongs to."""
    for thing in objects:
        labels = thing["metadata"].get("labels", {})
        wanted = ("app.kubernetes.io/name", INSTANCE, "app.kubernetes.io/component", "helm.sh/chart")
        if thing["source"] and not is_extra(thing) and any(key not in labels for key in wanted):
            yield f"{title(thing)} lacks one of the labels {wanted}"


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def drained(objects: list[dict]):
    """The grace period holds preStop, the drain and a margin."""
    for component, config in configurations(objects).items():
        for owner, pod in pods(objects):
            if pod["metadata"]["labels"].get("app.kubernetes.io/component") != component:
                continue
            stop = pod["spec"]["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = config["drain"] | {
                variable["name"].removeprefix("CARILLON__DRAIN__").lower(): variable["value"]
                for variable in pod["spec"]["containers"][0]["env"]
                if variable["name"].startswith("CARILLON__DRAIN__")
            }
            work = seconds(drain.get("window", "0s")) + seconds(drain.get("close_grace", "0s"))
            work += seconds(config.get("dispatcher", {}).get("request_timeout", "0s"))
            grace = pod["spec"]["terminationGracePeriodSeconds"]
            if seconds(drain["delay"]) != 0 or grace < stop + work + 8:
                yield f"{title(owner)} is killed after {grace} s, but needs {stop} + {work}"


def configured(objects: list[dict], defaults: dict):
    """The configuration has only settings that there are, of their types, for the service that reads them."""
    for component, config in configurations(objects).items():
        other = "dispatcher" if component == "gateway" else "gateway"
        # Of the gateways' section a dispatcher reads which pages may call.
        own = {"gateway"} if component == "dispatcher" and config.get("gateway", {}).keys() == {"origins"} else set()
        if extra := ONLY[other] & config.keys() - own:
            yield f"the {component}'s configuration has {sorted(extra)}, which it does not read"
        for section, settings in config.items():
            if isinstance(settings, list):
                continue
            for key, value in settings.items():
                path = f"{section}.{key}"
                if path in ("auth.issuers", "auth.api_keys"):
                    continue
                if key not in defaults.get(section, {}):
                    yield f"the {component}'s configuration sets {path}, which is no setting"
                    continue
                default = defaults[section][key]
                # "auto" stands where a number may stand.
                fits = type(value) is type(default) or default == "auto" and type(value) is int
                if not fits:
                    yield f"the {component}'s configuration sets {path} to {value!r}, not like {default!r}"


def broken(file: pathlib.Path, defaults: dict):
    objects = read(file)
    if not of_kind(objects, "Deployment"):
        yield "there is no Deployment at all"
    for owner, pod in pods(objects):
        for rule in (restricted(owner, pod), described(owner, pod), complete(owner, pod, objects)):
            yield from (f"{title(owner)}: {problem}" for problem in rule)
    for rule in (selected, routed, scaled, guarded, labelled, drained):
        yield from rule(objects)
    yield from configured(objects, defaults)


def main() -> int:
    defaults = tomllib.loads(pathlib.Path(sys.argv[1]).read_text())
    files = [pathlib.Path(name) for name in sys.argv[2:]]
    problems = [f"{file.stem}: {problem}" for file in files for problem in broken(file, defaults)]
    print("\n".join(problems) or f"{len(files)} renders keep every rule", file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
