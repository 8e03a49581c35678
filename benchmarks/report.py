"""What was measured → figures and Markdown tables."""

import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import corpus, stacks
from benchmarks.measure import CASES, GROWTH, Case, Results, Samples
from benchmarks.store import Table, to_json

# US East (N. Virginia), in US dollars, as of December 2025, without free tiers and discounts.
READ_UNIT = 0.125e-6  # https://aws.amazon.com/dynamodb/pricing/on-demand/
LAMBDA_REQUEST = 0.20e-6  # https://aws.amazon.com/lambda/pricing/
LAMBDA_GB_SECOND = 13.3334e-6  # as before; arm64, which template.yaml takes
API_REQUEST = 3.50e-6  # https://aws.amazon.com/api-gateway/pricing/, REST
BYTE_OUT = 0.09e-9  # https://aws.amazon.com/ec2/pricing/on-demand/, data transfer
MEMORY_GB = 1769 / 1024  # of template.yaml

# At least, and better: what the project set itself (docs/performance.md).
TARGETS: Mapping[str, tuple[str, float, float]] = {
    "warm_1000_gzip_vs_tutorial": ("warm CPU, 1,000, gzip: tutorial ÷ ours", 15, 25),
    "warm_100_gzip_vs_tutorial": ("warm CPU, 100, gzip: tutorial ÷ ours", 10, 15),
    "warm_1_vs_tutorial": ("warm CPU, 1: tutorial ÷ ours", 2, 3),
    "warm_1000_gzip_vs_node": ("warm CPU, 1,000, gzip: Node ÷ ours", 3.5, 5),
    "cold_vs_tutorial": ("cold CPU: tutorial ÷ ours", 2.8, 5),
    "authorizer_cold_vs_bare": ("cold CPU: authorizer ÷ bare handler, at most", 7, 6),
    "read_units_vs_native": ("read units, 1,000: ours ÷ native maps, at most", 0.5, 0.3),
    "artifact_mb": ("package, unzipped MB, at most", 25, 15),
    "peak_mb_10000": ("peak memory, 10,000, gzip, MB, at most", 300, 200),
}
Tables = Mapping[str, Mapping[str, Table]]


@dataclass(frozen=True)
class Measured:
    """All of one run."""

    cold: Mapping[str, Samples]
    warm: Results
    growth: Results
    tables: Tables


def figures(run: Measured) -> dict[str, float | None]:
    """The figures of `TARGETS`, in their order; `None` where Node is missing."""

    def times(samples: Mapping[str, Samples], slow: str, fast: str) -> float | None:
        if slow not in samples:
            return None
        return median(samples[slow].cpu) / median(samples[fast].cpu)

    ours, tutorial = stacks.OURS.name, stacks.TUTORIAL.name
    thousand = run.tables["1,000, gzip"]
    size = sum(file.stat().st_size for file in stacks.ARTIFACT.rglob("*") if file.is_file())
    values = (
        times(run.warm["1,000, gzip"], tutorial, ours),
        times(run.warm["100, gzip"], tutorial, ours),
        times(run.warm["1"], tutorial, ours),
        times(run.warm["1,000, gzip"], stacks.NODE.name, ours),
        times(run.cold, tutorial, ours),
        times(run.cold, stacks.AUTHORIZER.name, stacks.BARE.name),
        thousand["documents"].read_units / thousand["maps"].read_units,
        size / 1e6,
        run.warm["10,000, gzip"][ours].peak_mb,
    )
    return {
        name: None if value is None else round(value, 2)
        for name, value in zip(TARGETS, values, strict=True)
    }


def costs(run: Measured) -> dict[str, dict[str, dict[str, float]]]:
    """Dollars per million requests and what they are made of, by case and stack."""
    return {
        case: {
            stack.name: _cost(run.warm[case][stack.name], run.tables[case][stack.layout])
            for stack in (stacks.OURS, stacks.TUTORIAL, stacks.FASTAPI, stacks.NODE)
            if stack.name in run.warm[case]
        }
        for case in ("1, gzip", "100, gzip", "1,000, gzip")
    }


def _cost(samples: Samples, table: Table) -> dict[str, float]:
    gb_seconds = samples.summary()["wall_ms"] / 1000 * MEMORY_GB
    bytes_out = samples.answer_bytes * 3 / 4  # base64
    compute = LAMBDA_REQUEST + gb_seconds * LAMBDA_GB_SECOND
    rest = table.read_units * READ_UNIT + API_REQUEST + bytes_out * BYTE_OUT
    return {
        "read_units": table.read_units,
        "pages": len(table.pages),
        "bytes_out": bytes_out,
        "gb_seconds": gb_seconds,
        "dollars_per_million": 1e6 * (compute + rest),
    }


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


def markdown(run: Measured, found: Mapping[str, float | None]) -> str:
    """The tables for docs/performance.md."""
    names = [*run.warm[CASES[0].name]]
    warm = _table(
        ["CPU ms / wall ms", *(case.name for case in CASES), "peak MB, 10,000"],
        (
            [
                name,
                *(_times(run.warm[case.name][name]) for case in CASES),
                f"{run.warm[CASES[-1].name][name].peak_mb:.0f}",
            ]
            for name in names
        ),
    )
    cold = _table(
        ["cold: start to first answer", "CPU ms / wall ms", "peak MB"],
        ([name, _times(one), f"{one.peak_mb:.0f}"] for name, one in run.cold.items()),
    )
    goals = _table(
        ["figure", "measured", "at least", "aim"],
        (
            [text, "—" if found[name] is None else f"{found[name]:g}", f"{least:g}", f"{aim:g}"]
            for name, (text, least, aim) in TARGETS.items()
        ),
    )
    price = _table(
        ["per request", "read units", "pages", "KB out", "GB-s", "$ per million"],
        (
            [
                f"{case}: {name}",
                f"{one['read_units']:g}",
                f"{one['pages']:g}",
                f"{one['bytes_out'] / 1000:,.1f}",
                f"{one['gb_seconds']:.4f}",
                f"{one['dollars_per_million']:,.2f}",
            ]
            for case, by_stack in costs(run).items()
            for name, one in by_stack.items()
        ),
    )
    growth = _table(
        ["this endpoint, 1.2 KB each, gzip", *(f"{case.count:,}" for case in GROWTH)],
        (
            ["CPU ms", *(_number(case_of(run, case).summary()["cpu_ms"]) for case in GROWTH)],
            ["peak MB", *(f"{case_of(run, case).peak_mb:.0f}" for case in GROWTH)],
            ["read units", *(f"{growth_table(run, case).read_units:g}" for case in GROWTH)],
        ),
    )
    folded = "<details>\n<summary>Milliseconds, memory, growth, cost, text</summary>"
    parts = (_machine(), goals, folded, warm, cold, growth, price, _texts(), "</details>")
    return "\n\n".join(parts)


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


def case_of(run: Measured, case: Case) -> Samples:
    """Our samples of a case of the growth."""
    return run.growth[case.name][stacks.OURS.name]


def growth_table(run: Measured, case: Case) -> Table:
    """Our table of a case of the growth."""
    return run.tables[f"growth {case.name}"]["documents"]


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


def _machine() -> str:
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    lock = (stacks.ROOT / "requirements/bench.txt").read_text(encoding="utf-8")
    wanted = "aws-lambda-powertools|awslambdaric|boto3|pydantic|fastapi|mangum|orjson"
    versions = re.findall(rf"^({wanted})==(\S+)", lock, re.MULTILINE)
    listed = ", ".join(f"{name} {version}" for name, version in versions)
    node = _output("node", "--version") if stacks.has_node() else "none"
    python = _output(str(stacks.RUNTIME / "bin" / "python"), "--version")
    processors = len(re.findall("^processor", Path("/proc/cpuinfo").read_text(), re.MULTILINE))
    return (
        f"{cpu[1] if cpu else platform.processor()}, {processors} processors, "
        f"{platform.system()} {platform.release().split('-')[0]}; {python}, Node {node}; {listed}. "
        "CPU: median (quartiles) of the rounds; wall: median."
    )


def _output(*command: str) -> str:
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return result.stdout.strip()
