#!/usr/bin/env python3
"""metadata.py CHART_YAML CARGO_TOML IMAGES — the chart says of itself what is so."""

import pathlib
import sys
import tomllib

import yaml

chart = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text())
package = tomllib.loads(pathlib.Path(sys.argv[2]).read_text())["workspace"]["package"]
images = pathlib.Path(sys.argv[3]).read_text().split()
notes = chart["annotations"]
problems = []
if chart["appVersion"] != package["version"]:
    problems.append(f"appVersion is {chart['appVersion']}, the programs are {package['version']}")
told = sorted(entry["image"] for entry in yaml.safe_load(notes["artifacthub.io/images"]))
if told != sorted(images):
    problems.append(f"artifacthub.io/images names {told}, the chart uses {images}")
for change in yaml.safe_load(notes["artifacthub.io/changes"]):
    if change.get("kind") not in ("added", "changed", "deprecated", "removed", "fixed", "security") or not change.get("description"):
        problems.append(f"artifacthub.io/changes has {change}, which is no change")
if notes["artifacthub.io/license"] != package["license"]:
    problems.append(f"artifacthub.io/license is not {package['license']}")
print("\n".join(problems) or f"Chart.yaml: version {chart['version']} for {chart['appVersion']}, {len(images)} images", file=sys.stderr if problems else sys.stdout)
sys.exit(bool(problems))
