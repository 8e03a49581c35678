"""`make bench`: builds every stack, measures, and writes what was found.

`build/benchmark.json`, `docs/benchmark.svg`, and
the tables between the marks in docs/performance.md.
"""

import json
import re
from dataclasses import asdict
from typing import Any

from benchmarks import corpus, instructions, measure, plot, prices, report, stacks
from benchmarks.figures import Measured, figures
from benchmarks.store import Store, to_json
from dev.local import demo
from domain.api_key import hash_of

KEY = {
    "keyHash": {"S": hash_of(demo.KEYS[0].key)},  # of events/authorize_good_key.json
    "keyId": {"S": "key_demo"},
    "userId": {"S": corpus.USER},
    "workspaceIds": {"SS": ["demo"]},
    "createdAt": {"S": "2024-12-01T08:45:00.000Z"},
}
BEGIN, END = "<!-- benchmark: written by `make bench` -->", "<!-- end of benchmark -->"


def main() -> None:
    """Runs the benchmark: some ten minutes."""
    stacks.prepare()
    node = (stacks.NODE,) if stacks.has_node() else ()
    peers = (stacks.OURS, stacks.TUTORIAL, stacks.FASTAPI, *node)
    others = (stacks.LEAN_TUTORIAL, stacks.PLAIN, stacks.AUTHORIZER)
    store = Store()
    store.items["keys"] = to_json({"ConsumedCapacity": {"CapacityUnits": 0.5}, "Item": KEY})
    cold = measure.cold(store, (*peers, *others, stacks.BARE))
    warm, tables = measure.warm(store, (*peers, stacks.BARE, stacks.PARSE), measure.CASES)
    growing = (stacks.OURS, stacks.TUTORIAL, *node)
    growth, growth_tables = measure.warm(store, growing, measure.GROWTH)
    imports = instructions.of_imports()
    size = sum(file.stat().st_size for file in stacks.ARTIFACT.rglob("*") if file.is_file())
    write(Measured(cold, warm, growth, tables, growth_tables, imports, size / 1e6))


def write(run: Measured) -> None:
    """Writes the results, the plot and the tables of the page."""
    found = figures(run)
    text = f"{report.machine()}\n\n{report.markdown(run, found)}"
    print(text)
    costs = prices.costs(run.warm, run.tables)
    results: dict[str, Any] = {
        "figures": found,
        "warm": _summaries(run.warm),
        "cold": {name: one.summary() for name, one in run.cold.items()},
        "growth": _summaries(run.growth),
        "instructions": run.instructions,
        "costs": {
            case: {stack: asdict(cost) for stack, cost in by_stack.items()}
            for case, by_stack in costs.items()
        },
        "texts": report.texts(),
    }
    (stacks.ROOT / "build" / "benchmark.json").write_text(json.dumps(results, indent=1))
    (stacks.ROOT / "build" / "benchmark.md").write_text(f"{text}\n", encoding="utf-8")
    (stacks.ROOT / "docs" / "benchmark.svg").write_text(plot.growth(run.growth), encoding="utf-8")
    page = stacks.ROOT / "docs" / "performance.md"
    between = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    old = page.read_text(encoding="utf-8")
    page.write_text(between.sub(lambda it: f"{it[1]}{text}\n{it[2]}", old), encoding="utf-8")


def _summaries(results: measure.Results) -> dict[str, Any]:
    return {
        case: {name: one.summary() for name, one in by_stack.items()}
        for case, by_stack in results.items()
    }


if __name__ == "__main__":
    main()
