#!/usr/bin/env python3
"""same.py A B — whether two renders hold the same objects; Helm 3 and 4 differ in blank lines."""

import pathlib
import sys

from manifests import read, title

ours, theirs = (sorted(read(pathlib.Path(name)), key=title) for name in sys.argv[1:])
for one, other in zip(ours, theirs):
    if one != other:
        print(f"{title(one)} differs", file=sys.stderr)
sys.exit(ours != theirs)
