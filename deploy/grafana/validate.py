#!/usr/bin/env python3
"""Holds dashboards/*.json against Grafana's schema, as its Foundation SDK for Python has it (see validate.sh).

The SDK reads what it knows and leaves out the rest. So a dashboard is read and written again: whatever is missing then,
a misspelt option or one that a panel of this kind does not have, is reported. Nor does it look at values: they are
compared with the types and lists that it declares.
"""

import enum
import json
import pathlib
import sys
import typing

from grafana_foundation_sdk.cog import runtime as cogruntime
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard, units

# What the schema of the SDK does not describe, though Grafana's Prometheus data source reads it: how an annotation's
# query is spaced and what it says.
UNDESCRIBED = {"step", "titleFormat", "textFormat", "tagKeys", "useValueForTime"}
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}


def lost(written, read, path=""):
    """What is in `written` and not, or differently, in `read`."""
    if isinstance(written, dict) and isinstance(read, dict):
        for name, value in written.items():
            at = f"{path}.{name}"
            if ".annotations." in at and name in UNDESCRIBED:
                continue
            if name not in read:
                # The SDK leaves null out.
                if value is not None:
                    yield f"{at} is unknown"
                continue
            yield from lost(value, read[name], at)
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for at, (one, other) in enumerate(zip(written, read)):
            yield from lost(one, other, f"{path}[{at}]")
    elif written != read:
        yield f"{path} is {written!r}, and was read as {read!r}"


def values(node, name):
    """Every value of a member, wherever it is."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield value
            yield from values(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, name)


def misfits(value, kind, path):
    """Values that are not of the type, or not in the list, that the SDK declares; it does not look itself."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(value, dict) and hasattr(kind, "from_json"):
        # The SDK leaves some lists as they were.
        yield from unlike(value, kind.from_json(value), kind, path)
        return
    if kind is object or kind is typing.Any or hasattr(type(value), "from_json"):
        # A class of the SDK, or what a panel of this kind has for it: its own members say what they are.
        if hasattr(type(value), "from_json"):
            for name, member in typing.get_type_hints(type(value)).items():
                yield from misfits(getattr(value, name), member, f"{path}.{name}")
    elif origin is typing.Union:
        found = [list(misfits(value, one, path)) for one in inner]
        if all(found):
            yield found[0][0]
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path} is {value!r}, not a list"
            return
        for at, one in enumerate(value):
            yield from misfits(one, inner[0], f"{path}[{at}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path} is {value!r}, not an object"
            return
        for name, one in value.items():
            yield from misfits(one, inner[1], f"{path}.{name}")
    elif origin is typing.Literal:
        if value not in inner:
            yield f"{path} is {value!r}, none of {inner}"
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        if value not in {member.value for member in kind}:
            yield f"{path} is {value!r}, none of {[member.value for member in kind]}"
    elif kind is float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path} is {value!r}, not a number"
    elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        yield f"{path} is {value!r}, not of type {kind.__name__}"


def unlike(written, read, kind, path=""):
    """Whatever differs between what is written and what the SDK has read of it."""
    yield from lost(written, json.loads(json.dumps(read, cls=JSONEncoder)), path)
    yield from misfits(read, kind, path)


def complaints(written):
    """What is wrong with a dashboard."""
    yield from unlike(written, dashboard.Dashboard.from_json(written), dashboard.Dashboard)
    for panel in written["panels"]:
        if panel["type"] not in cogruntime.Runtime().panelcfg_variants:
            yield f"{panel['type']!r} is no kind of panel"
    for unit in set(filter(lambda unit: isinstance(unit, str), values(written, "unit"))) - UNITS:
        yield f"{unit!r} is no unit"


def main() -> int:
    """Reads every dashboard; fails if there is something to complain about."""
    register_default_plugins()
    files = sorted((pathlib.Path(__file__).parent / "dashboards").glob("*.json"))
    found = [f"{file.name}: {what}" for file in files for what in complaints(json.loads(file.read_text("utf-8")))]
    for line in found:
        print(line, file=sys.stderr)
    if not found and files:
        print(f"{len(files)} dashboards fit Grafana's schema")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
