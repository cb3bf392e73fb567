"""Helm's renders of the chart, for tables of values."""

import concurrent.futures
import json
import os
import subprocess

import yaml


def render(chart: str, values: dict, release: str = "carillon", *options: str) -> tuple[list[dict], str]:
    """The objects, or what Helm says why there are none."""
    command = ["helm", "template", release, chart, "--namespace", "carillon", "--values", "-", *options]
    done = subprocess.run(command, input=json.dumps(values), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [], done.stderr
    return [thing for thing in yaml.safe_load_all(done.stdout) if thing], ""


def renders(calls: list[tuple]) -> list[tuple[list[dict], str]]:
    """The same for many, some at a time."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda call: render(*call), calls))
