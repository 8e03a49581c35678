"""What was measured → Markdown tables for docs/performance.md."""

import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from benchmarks import corpus, prices, stacks
from benchmarks.figures import TARGETS, Measured, paired
from benchmarks.measure import CASES, CLIENTS, GROWTH, Results, Samples, name_of
from benchmarks.store import to_json

_NO_VALGRIND = (
    "The two figures of instructions were not measured, because valgrind is not installed. "
    "On Debian and Ubuntu: `apt install valgrind`."
)


def markdown(run: Measured, found: Mapping[str, float | None]) -> str:
    """All tables, those below the figures folded."""
    goals = _table(
        ["figure", "measured", "limit", "aim"],
        (
            [text, _figure(found[name]), f"{least:g}", f"{aim:g}"]
            for name, (text, least, aim) in TARGETS.items()
        ),
    )
    notes = [] if run.instructions else [_NO_VALGRIND]
    folded = "<details>\n<summary>Milliseconds, memory, growth, prices, text</summary>"
    detailed = (_cold(run.cold), *_instructions(run), _warm(run.warm), _growth(run))
    tables = (*detailed, *_prices(run), _texts())
    return "\n\n".join((goals, *notes, folded, *tables, "</details>"))


def _cold(cold: Mapping[str, Samples]) -> str:
    node = cold.get(stacks.NODE.name)

    def row(name: str, samples: Samples) -> list[str]:
        ratios = ["—", "—"]
        if node:
            pairs = ((node.cpu, samples.cpu), (node.wall, samples.wall))
            ratios = [f"{paired(*pair):.2f}" for pair in pairs]
        return [name, _times(samples), *ratios, f"{samples.peak_mb:.0f}"]

    head = ["cold: start to first answer", "CPU ms / wall ms", "Node's CPU ÷ this", "Node's wall ÷"]
    return _table([*head, "peak MB"], (row(*named) for named in cold.items()))


def _instructions(run: Measured) -> list[str]:
    if not run.instructions:
        return []
    rows = ([name, f"{count:.0f}"] for name, count in run.instructions.items())
    return [_table(["import, counted by callgrind", "million instructions"], rows)]


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:g}"


def _warm(warm: Results) -> str:
    """A row for each stack and content coding, a column for each count."""
    rows = []
    for stack in warm["1"]:
        for coding in CLIENTS:
            cells = [warm.get(name_of(case.count, coding), {}).get(stack) for case in CASES]
            if any(cells):
                times = (_times(samples) if samples else "—" for samples in cells)
                peak = f"{cells[-1].peak_mb:.0f}" if cells[-1] else "—"
                rows.append([f"{stack}, {coding}" if coding else stack, *times, peak])
    counts = (f"{case.count:,}" for case in CASES)
    return _table(["warm: CPU ms / wall ms", *counts, "peak MB, 10,000"], rows)


def _growth(run: Measured) -> str:
    rows = []
    for coding in ("gzip", "zstd"):
        ours = [run.growth[name_of(case.count, coding)][stacks.OURS.name] for case in GROWTH]
        rows.append([f"CPU ms, {coding}", *(_number(one.summary()["cpu_ms"]) for one in ours)])
        rows.append([f"peak MB, {coding}", *(f"{one.peak_mb:.0f}" for one in ours)])
    tables = (run.growth_tables[case.count]["documents"] for case in GROWTH)
    rows.append(["read units", *(f"{one.read_units:g}" for one in tables)])
    return _table(["this endpoint, 1.2 KB each", *(f"{case.count:,}" for case in GROWTH)], rows)


def _prices(run: Measured) -> tuple[str, str]:
    """The prices that were taken, and the table."""
    costs = prices.costs(run.warm, run.tables)
    rows = []
    for count in prices.COUNTS:
        ours = [costs[name_of(count, coding)][stacks.OURS.name] for coding in ("gzip", "zstd")]
        for coding in ("gzip", "zstd"):
            for stack, cost in costs[name_of(count, coding)].items():
                against = (
                    f"{cost.bytes_out / base.bytes_out:.2f}, "
                    f"{cost.dollars_per_million / base.dollars_per_million:.2f}"
                    for base in ours
                )
                rows.append(
                    [
                        *(f"{count:,}: {stack}, {coding}", f"{cost.read_units:g}", f"{cost.pages}"),
                        *(f"{cost.bytes_out / 1000:,.1f}", f"{cost.gb_seconds:.4f}"),
                        *(f"{cost.dollars_per_million:,.2f}", *against),
                    ]
                )
    head = ["a list", "read units", "pages", "KB out", "GB-s", "$ per million"]
    against_ours = [f"KB, $ ÷ ours in {coding}" for coding in ("gzip", "zstd")]
    return prices.TAKEN, _table([*head, *against_ours], rows)


@cache
def texts() -> dict[str, dict[str, float]]:
    """Compression and read units for generated and for real text."""
    result = {}
    for name, text in (("generated", corpus.words), ("real, 33 languages", corpus.sentences)):
        for count, size in ((1000, 5000), (10_000, 1200)):
            listed = corpus.conversations(count, size, text)
            tables = stacks.tables(listed)
            documents, maps = tables["documents"], tables["maps"]
            json_bytes = len(to_json(listed))
            result[f"{name}, {count:,} of {size / 1000:g} KB"] = {
                "json_mb": json_bytes / 1e6,
                "compression": json_bytes / stacks.document_bytes(listed),
                "read_units": documents.read_units,
                "read_units_native": maps.read_units,
                "ratio": documents.read_units / maps.read_units,
            }
    return result


def _texts() -> str:
    return _table(
        ["text", "JSON MB", "compression", "read units", "as native maps", "ratio"],
        (
            [
                name,
                f"{one['json_mb']:.1f}",
                f"{one['compression']:.2f}",
                f"{one['read_units']:g}",
                f"{one['read_units_native']:g}",
                f"{one['ratio']:.2f}",
            ]
            for name, one in texts().items()
        ),
    )


def _times(samples: Samples) -> str:
    one = samples.summary()
    low, high = one["cpu_ms_quartiles"]
    spread = f"{_number(low)}–{_number(high)}"
    return f"{_number(one['cpu_ms'])} ({spread}) / {_number(one['wall_ms'])}"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.{1 if value < 100 else 0}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """The machine and the versions, for people."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    cpu = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    sha = "with" if re.search(r"\bsha(_ni|2)\b", cpuinfo) else "without"  # x86-64, arm64
    lock = (stacks.ROOT / "requirements/bench.txt").read_text(encoding="utf-8")
    wanted = "aws-lambda-powertools|awslambdaric|boto3|pydantic|fastapi|mangum|orjson"
    versions = re.findall(rf"^({wanted})==(\S+)", lock, re.MULTILINE)
    listed = ", ".join(f"{name} {version}" for name, version in versions)
    node = _output("node", "--version") if stacks.has_node() else "none"
    python = _output(str(stacks.RUNTIME / "bin" / "python"), "--version")
    processors = len(re.findall("^processor", cpuinfo, re.MULTILINE))
    return (
        f"{cpu[1] if cpu else platform.processor()} {sha} SHA instructions, "
        f"{processors} processors, "
        f"{platform.system()} {platform.release().split('-')[0]}; {python}, Node {node}; {listed}. "
        "CPU: median (quartiles) of the rounds; wall: median."
    )


def _output(*command: str) -> str:
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return result.stdout.strip()
