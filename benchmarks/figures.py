"""What was measured → the figures that the project sets itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks import prices, stacks
from benchmarks.measure import Results, Samples
from benchmarks.store import Table

# At least (or at most), and the aim.
TARGETS: Mapping[str, tuple[str, float, float]] = {
    "cold_vs_tutorial": ("cold CPU: tutorial ÷ ours", 7.5, 9),
    "cold_vs_node": ("cold CPU: Node ÷ ours", 1.9, 2.3),
    "cold_wall_vs_node": ("cold wall time: Node ÷ ours", 1.4, 1.8),
    "start_minstr": (
        "import of runtime client and endpoint, million instructions, at most",
        470,
        400,
    ),
    "authorizer_minstr": (
        "import of runtime client and authorizer, million instructions, at most",
        385,
        330,
    ),
    "authorizer_cold_vs_bare": ("cold CPU: authorizer ÷ bare handler, at most", 1.75, 1.5),
    "warm_1_vs_tutorial": ("warm CPU, 1: tutorial ÷ ours", 2.2, 3),
    "warm_100_gzip_vs_tutorial": ("warm CPU, 100, gzip: tutorial ÷ ours", 15, 20),
    "warm_1000_gzip_vs_tutorial": ("warm CPU, 1,000, gzip: tutorial ÷ ours", 18, 25),
    "warm_1000_gzip_vs_node": ("warm CPU, 1,000, gzip: Node ÷ ours", 3.9, 6),
    "bytes_1000_zstd_vs_tutorial_gzip": (
        "bytes out, 1,000: ours in zstd ÷ tutorial's in gzip, at most",
        0.97,
        0.9,
    ),
    "price_1000_vs_tutorial": ("price, 1,000: tutorial's in gzip ÷ ours in zstd", 1.5, 1.8),
    "artifact_mb": ("package, unzipped MB, at most", 16, 13),
    "read_units_vs_native": ("read units, 1,000: ours ÷ native maps, at most", 0.45, 0.3),
    "peak_mb_10000": ("peak memory, 10,000, gzip or zstd, MB, at most", 95, 60),
}


@dataclass(frozen=True)
class Measured:
    """All of one run. The tables are by count of conversations, then by layout.

    Attributes:
        instructions: as `instructions.of_imports` returns them.
    """

    cold: Mapping[str, Samples]
    warm: Results
    growth: Results
    tables: Mapping[int, Mapping[str, Table]]
    growth_tables: Mapping[int, Mapping[str, Table]]
    instructions: Mapping[str, float]
    artifact_mb: float


def figures(run: Measured) -> dict[str, float | None]:
    """The figures of `TARGETS`, in their order; `None` where Node or valgrind is missing."""
    ours, tutorial, node = stacks.OURS.name, stacks.TUTORIAL.name, stacks.NODE.name
    cold, one, hundred = run.cold, run.warm["1"], run.warm["100, gzip"]
    gzip, zstd = run.warm["1,000, gzip"], run.warm["1,000, zstd"]
    documents, maps = run.tables[1000]["documents"], run.tables[1000]["maps"]

    def dollars(samples: Samples, table: Table) -> list[float]:
        return [prices.cost(samples, table, wall).dollars_per_million for wall in samples.wall]

    values = (
        paired(cold[tutorial].cpu, cold[ours].cpu),
        paired(cold[node].cpu, cold[ours].cpu) if node in cold else None,
        paired(cold[node].wall, cold[ours].wall) if node in cold else None,
        run.instructions.get(ours),
        run.instructions.get(stacks.AUTHORIZER.name),
        paired(cold[stacks.AUTHORIZER.name].cpu, cold[stacks.BARE.name].cpu),
        paired(one[tutorial].cpu, one[ours].cpu),
        paired(hundred[tutorial].cpu, hundred[ours].cpu),
        paired(gzip[tutorial].cpu, gzip[ours].cpu),
        paired(gzip[node].cpu, gzip[ours].cpu) if node in gzip else None,
        zstd[ours].body_bytes / gzip[tutorial].body_bytes,
        paired(dollars(gzip[tutorial], maps), dollars(zstd[ours], documents)),
        run.artifact_mb,
        documents.read_units / maps.read_units,
        max(run.warm[f"10,000, {coding}"][ours].peak_mb for coding in ("gzip", "zstd")),
    )
    return {
        name: None if value is None else round(value, 2)
        for name, value in zip(TARGETS, values, strict=True)
    }


def paired(dividends: Sequence[float], divisors: Sequence[float]) -> float:
    """The median of the ratios of two stacks' samples, each pair of the same round."""
    pairs = zip(dividends, divisors, strict=True)
    return median(dividend / divisor for dividend, divisor in pairs)
