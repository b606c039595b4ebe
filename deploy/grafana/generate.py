#!/usr/bin/env python3
"""Writes dashboards/*.json from boards/*.py.

    generate.py           writes the files
    generate.py --check   says which files are not what it would write, and fails

Grafana's JSON says everything a dozen times: data source, colours, legends and units for every panel. Written by hand,
panels drift apart and a change of one threshold is a search through thousands of lines. Here a panel is its title, its
description, its unit and its queries, and everything else is said once, in parts.py. It needs Python alone, so that
anybody can run it and CI can compare; validate.py holds what it writes against Grafana's schema.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

from boards import dead_letters, groups, overview, producer, redis, workers

HERE = pathlib.Path(__file__).parent / "dashboards"
BOARDS = [overview, groups, producer, workers, dead_letters, redis]


def main() -> int:
    """Writes or compares, and says what it found."""
    texts = {board.BOARD["uid"].removeprefix("orderflow-") + ".json": board.BOARD for board in BOARDS}
    texts = {name: json.dumps(board, indent=2, ensure_ascii=False) + "\n" for name, board in texts.items()}
    if "--check" not in sys.argv[1:]:
        for name, text in texts.items():
            (HERE / name).write_text(text, encoding="utf-8")
        return 0
    found = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.json")}
    differing = sorted(name for name in texts.keys() | found.keys() if texts.get(name) != found.get(name))
    for name in differing:
        print(f"dashboards/{name} is not what generate.py writes: run deploy/grafana/generate.py", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
