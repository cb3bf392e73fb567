#!/usr/bin/env python3
"""sections.py CARILLON_TOML CONFIG_TPL — every section that one service alone reads, by the chart, exists."""

import pathlib
import re
import sys
import tomllib

from invariants import ONLY

toml, template = (pathlib.Path(name).read_text() for name in sys.argv[1:])
known = set(tomllib.loads(toml)) | {"kubernetes"}
lists = re.search(r'dict "gateway" "([^"]+)" "dispatcher" "([^"]+)"', template)
# What each service is kept from is what the other one alone reads.
left_out = {"dispatcher": set(lists[1].split()), "gateway": set(lists[2].split())}
problems = []
for component, sections in ONLY.items():
    if sections - {"kubernetes"} != left_out[component]:
        problems.append(f"{component}: the chart leaves out {left_out[component]}, the invariants expect {sections}")
    problems += [f"{component}: carillon.toml has no section {name}" for name in sections - known]
print("\n".join(problems) or f"{len(known)} sections of carillon.toml have their services")
sys.exit(bool(problems))
