"""The benchmark: its rounds in the small, with functions out of this working tree; its figures."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks.__main__ as command
from benchmarks import corpus, figures, instructions, measure, report, stacks
from benchmarks.figures import TARGETS, Measured
from benchmarks.measure import Case, Results, Samples
from benchmarks.stacks import Stack
from benchmarks.store import Store, Table, to_json
from handlers import list_conversations
from tests.support.needs import executable

SRC = Path(list_conversations.__file__).parents[1]  # the package's, in `make test-artifact`
PEERS = Path(stacks.__file__).with_name("peers")


def here(stack: Stack, folder: Path) -> Stack:
    """The stack out of a folder, in the environment of the tests."""
    python = (sys.executable, *stack.command[1:])
    return replace(
        stack, command=python, environment={**stack.environment, "PYTHONPATH": f"{folder}"}
    )


OURS, PLAIN = here(stacks.OURS, SRC), here(stacks.PLAIN, SRC)
AUTHORIZER = here(stacks.AUTHORIZER, SRC)
TUTORIAL, BARE = here(stacks.TUTORIAL, PEERS), here(stacks.BARE, PEERS)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(stacks, "BUILD", tmp_path)
    store = Store()
    store.items["keys"] = to_json({"ConsumedCapacity": {"CapacityUnits": 0.5}, "Item": command.KEY})
    yield store
    store.server_close()


def test_each_content_coding_that_comes_is_measured_once(store: Store) -> None:
    cases = (Case(1, 900, rounds=(2, 1)), Case(3, 2000, rounds=(3, 2)))
    results, tables = measure.warm(store, (OURS, TUTORIAL, BARE), cases)
    found = {(case, name) for case, by_stack in results.items() for name in by_stack}
    peer, floor = TUTORIAL.name, BARE.name
    assert found == {
        *(("1", OURS.name), ("1", peer), ("1, gzip", peer), ("1", floor)),
        *(("3", OURS.name), ("3, gzip", OURS.name), ("3, zstd", OURS.name)),
        *(("3", peer), ("3, gzip", peer), ("3", floor)),
    }
    assert {len(samples.cpu) for samples in results["3"].values()} == {3}
    listed = to_json(corpus.conversations(3, 2000))
    sizes = [results[name][OURS.name].body_bytes for name in ("3", "3, gzip", "3, zstd")]
    assert sizes[0] == len(listed)
    assert sizes == sorted(sizes, reverse=True)
    assert tables[3]["documents"].read_units < tables[3]["maps"].read_units


def test_a_stack_that_answers_something_else_stops_the_benchmark(store: Store) -> None:
    mistaken = (replace(BARE, name="mistaken"),)
    with pytest.raises(ValueError, match="mistaken answers something else"):
        measure.cold(store, mistaken)
    with pytest.raises(ValueError, match="mistaken answers something else"):
        measure.warm(store, mistaken, (Case(1, 900, rounds=(1, 1)),))


def test_an_authorizer_that_denies_stops_the_benchmark(store: Store) -> None:
    store.items["keys"] = to_json({"ConsumedCapacity": {"CapacityUnits": 0.5}})
    with pytest.raises(ValueError, match="refuses a valid key"):
        measure.cold(store, (AUTHORIZER,))


def test_each_start_is_a_sample(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "COLD_ROUNDS", 2)
    cold = measure.cold(store, (OURS, PLAIN, AUTHORIZER, BARE))
    samples = {name: len(samples.cpu) for name, samples in cold.items()}
    assert samples == dict.fromkeys((OURS.name, PLAIN.name, AUTHORIZER.name, BARE.name), 2)


def test_plain_documents_hold_the_same_as_compressed_ones() -> None:
    listed = corpus.conversations(2, 5000)
    tables = stacks.tables(listed)
    (page,) = tables["plain"].pages.values()
    documents = [item["document"] for item in json.loads(page)["Items"]]
    assert [json.loads(document["S"]) for document in documents] == listed
    assert tables["plain"].read_units > tables["documents"].read_units


def test_instructions_are_those_of_the_runtime_client_and_the_handler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable("valgrind")
    monkeypatch.setattr(stacks, "BUILD", tmp_path)
    for name, stack in (("BARE", BARE), ("OURS", BARE), ("AUTHORIZER", heavier(tmp_path))):
        monkeypatch.setattr(stacks, name, stack)
    empty, client, bare, heavy = instructions.of_imports().values()
    assert 5 < empty < client <= bare + 1 < heavy


def heavier(folder: Path) -> Stack:
    """A handler that imports what an empty interpreter does not."""
    (folder / "heavier.py").write_text("import xmlrpc.client\n")
    command = (*BARE.command[:-1], "heavier.handler")
    return replace(BARE, name="heavier", command=command, environment={"PYTHONPATH": f"{folder}"})


def test_without_valgrind_the_figures_of_instructions_are_not_measured(
    run: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    run = replace(run, instructions=instructions.of_imports())
    found = figures.figures(run)
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {"start_minstr", "authorizer_minstr"}
    text = report.markdown(run, found)
    row = "| import of runtime client and endpoint, million instructions, at most | not measured |"
    assert f"{row} 470 | 400 |" in text
    assert "were not measured, because valgrind is not installed" in text.partition("<details>")[0]
    assert "counted by callgrind" not in text


def made_up(cpu: float, body_bytes: int = 1000, peak_mb: float = 50) -> Samples:
    """Two rounds, whose wall time is 1 ms longer than the CPU time."""
    return Samples([cpu] * 2, [cpu + 1] * 2, peak_mb, 2 * body_bytes, body_bytes)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Measured:
    monkeypatch.setattr(report, "texts", dict)  # which takes a minute, and measures nothing
    ours, tutorial, fastapi, node = (
        stack.name for stack in (stacks.OURS, stacks.TUTORIAL, stacks.FASTAPI, stacks.NODE)
    )
    cold = {
        ours: made_up(10),
        tutorial: made_up(50),
        node: made_up(12),
        stacks.AUTHORIZER.name: made_up(6),
        stacks.BARE.name: made_up(4),
        stacks.PLAIN.name: made_up(20),
    }
    warm: Results = {}
    for factor, count in enumerate(("1", "100", "1,000", "10,000"), 1):
        peers = {tutorial: made_up(30 * factor), fastapi: made_up(25), node: made_up(20)}
        warm[count] = {ours: made_up(10), **peers}
        warm[f"{count}, gzip"] = {ours: made_up(10, 1100), **peers}
        warm[f"{count}, zstd"] = {ours: made_up(10, 900, peak_mb=60)}
    growth = {
        f"{case.count:,}, {coding}": {ours: made_up(case.count), tutorial: made_up(9 * case.count)}
        for case in measure.GROWTH
        for coding in ("gzip", "zstd")
    }
    table = {"documents": Table({"": b""}, 100), "maps": Table({"": b""}, 400)}
    tables = {case.count: table for case in (*measure.CASES, *measure.GROWTH)}
    imports = {"Lambda's runtime client": 138.0, ours: 434.5, stacks.AUTHORIZER.name: 383.75}
    return Measured(cold, warm, growth, tables, tables, imports, artifact_mb=16)


def test_the_figures_are_those_of_the_samples(run: Measured) -> None:
    # USD a million: requests 0.2 + 3.5, GB-seconds, read units, traffic.
    gb = 1769 / 1024
    tutorial = 3.7 + 0.091 * gb * 13.3334 + 400 * 0.125 + 1000 * 0.09e-3
    ours = 3.7 + 0.011 * gb * 13.3334 + 100 * 0.125 + 900 * 0.09e-3
    assert figures.figures(run) == {
        "cold_vs_tutorial": 5,
        "cold_vs_node": 1.2,
        "cold_wall_vs_node": 1.18,
        "start_minstr": 434.5,
        "authorizer_minstr": 383.75,
        "authorizer_cold_vs_bare": 1.5,
        "warm_1_vs_tutorial": 3,
        "warm_100_gzip_vs_tutorial": 6,
        "warm_1000_gzip_vs_tutorial": 9,
        "warm_1000_gzip_vs_node": 2,
        "bytes_1000_zstd_vs_tutorial_gzip": 0.9,
        "price_1000_vs_tutorial": round(tutorial / ours, 2),
        "artifact_mb": 16,
        "read_units_vs_native": 0.25,
        "peak_mb_10000": 60,
    }
    assert [*figures.figures(run)] == [*TARGETS]


def test_a_ratio_compares_what_was_measured_in_the_same_round() -> None:
    assert figures.paired([1, 20, 6], [1, 10, 2]) == 2


def test_without_node_its_figures_are_unknown(run: Measured) -> None:
    cold, *warm = (
        {name: by_stack[name] for name in by_stack if name != stacks.NODE.name}
        for by_stack in (run.cold, *run.warm.values())
    )
    run = replace(run, cold=cold, warm=dict(zip(run.warm, warm, strict=True)))
    found = figures.figures(run)
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {"cold_vs_node", "cold_wall_vs_node", "warm_1000_gzip_vs_node"}
    assert "| cold CPU: Node ÷ ours | not measured | 1.9 | 2.3 |" in report.markdown(run, found)


def test_the_tables_go_between_the_marks_of_the_page(
    run: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "build").mkdir()
    page = tmp_path / "docs" / "performance.md"
    page.write_text(f"before\n{command.BEGIN}\nold\n{command.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(stacks, "ROOT", tmp_path)
    monkeypatch.setattr(report, "machine", lambda: "A machine.")
    command.write(run)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{command.BEGIN}\nA machine.\n\n| figure |")
    assert text.endswith(f"</details>\n{command.END}\nafter\n")
    times = "10.0 (10.0\N{EN DASH}10.0) / 11.0"
    rows = {
        "| cold CPU: tutorial ÷ ours | 5 | 7.5 | 9 |",
        f"| this endpoint | {times} | 1.20 | 1.18 | 50 |",
        "| this endpoint | 434 |",
        f"| this endpoint, zstd |{f' {times} |' * 4} 60 |",
    }
    assert rows <= set(text.splitlines())
    results = json.loads((tmp_path / "build" / "benchmark.json").read_text())
    assert [*results["figures"].items()] == [*figures.figures(run).items()]
    assert results["costs"]["1,000, zstd"][stacks.OURS.name]["bytes_out"] == 900
    assert (tmp_path / "docs" / "benchmark.svg").read_text().count("<polyline") == 2
