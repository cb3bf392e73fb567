#!/usr/bin/env python3
"""rolled.py CHART VALUES — a change restarts exactly the pods that it concerns."""

import pathlib
import subprocess
import sys
import tempfile

from manifests import of_kind, read

# What is changed, and whose pods must differ then.
CHANGES = [
    ("config.socket.ping_interval=20s", {"gateway"}),
    ("config.gateway.max_age=6h", {"gateway"}),
    ("config.audit.interval=30s", {"gateway"}),
    ("config.drain.min_rate=50", {"gateway"}),
    ("gateway.handshakeRate=300", {"gateway"}),
    ("gateway.drain.windowSeconds=60", {"gateway"}),
    ("config.dispatcher.body_bytes=100000", {"dispatcher"}),
    ("config.idempotency.ttl=30m", {"dispatcher"}),
    ("canary.existingSecret=canary", {"dispatcher"}),
    ("tracing.endpoint=http://collector:4317", {"dispatcher", "gateway"}),
    ("dispatcher.requestTimeoutSeconds=20", {"dispatcher"}),
    ("config.inbox.max=500", {"gateway", "dispatcher"}),
    ("config.log.level=debug", {"gateway", "dispatcher"}),
    ("redis.url=redis://other:6379", {"gateway", "dispatcher"}),
    ("config.futurity.setting=1", {"gateway", "dispatcher"}),
    ("gateway.replicas=9", set()),
    ("gateway.pdb.maxUnavailable=2", set()),
    ("gateway.service.type=LoadBalancer", set()),
    ("networkPolicy.enabled=false", set()),
    ("metrics.podMonitor.interval=30s", set()),
    ("rbac.create=false", set()),
]


def templates(chart: str, values: str, *options: str) -> dict:
    """The pod templates of a render, by component."""
    command = ["helm", "template", "carillon", chart, "-f", values, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(done.stdout)
        file.flush()
        objects = read(pathlib.Path(file.name))
    return {
        thing["metadata"]["labels"]["app.kubernetes.io/component"]: thing["spec"]["template"]
        for thing in of_kind(objects, "Deployment")
    }


def newer(chart: str, folder: str) -> str:
    """A copy of the chart with another version of its own, for the same programs."""
    copy = pathlib.Path(folder) / "carillon"
    subprocess.run(["cp", "-r", chart, copy], check=True)
    metadata = (copy / "Chart.yaml").read_text()
    (copy / "Chart.yaml").write_text(metadata.replace("\nversion: ", "\nversion: 9", 1))
    return str(copy)


def main() -> int:
    chart, values = sys.argv[1:]
    before = templates(chart, values)
    problems = []

    def look(change: str, wanted: set, after: dict) -> None:
        rolled = {component for component in before if before[component] != after[component]}
        if rolled != wanted:
            problems.append(f"{change} restarts {sorted(rolled)}, not {sorted(wanted)}")

    for change, wanted in CHANGES:
        look(change, wanted, templates(chart, values, "--set", change))
    with tempfile.TemporaryDirectory() as folder:
        look("a newer chart", set(), templates(newer(chart, folder), values))
    print("\n".join(problems) or f"{len(CHANGES) + 1} changes restart what they concern", file=sys.stderr if problems else sys.stdout)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
