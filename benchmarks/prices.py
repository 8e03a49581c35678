"""What a million lists cost on AWS."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks import stacks
from benchmarks.measure import Results, Samples, name_of
from benchmarks.store import Table

# US East (N. Virginia), in US dollars, as of December 2025, without free tiers and discounts.
READ_UNIT = 0.125e-6
LAMBDA_REQUEST = 0.20e-6
LAMBDA_GB_SECOND = 13.3334e-6  # arm64, which template.yaml takes
API_REQUEST = 3.50e-6
BYTE_OUT = 0.09e-9
MEMORY_MB = 1769  # of template.yaml
TAKEN = (
    "Prices in USD, us-east-1, December 2025, without free tiers: "
    f"[Lambda](https://aws.amazon.com/lambda/pricing/) on arm64 {1e6 * LAMBDA_GB_SECOND:g} per "
    f"million GB-seconds, at {MEMORY_MB:,} MB and the wall time measured here, and "
    f"{1e6 * LAMBDA_REQUEST:.2f} per million requests; "
    f"[API Gateway](https://aws.amazon.com/api-gateway/pricing/), REST, {1e6 * API_REQUEST:.2f} "
    "per million requests; [DynamoDB](https://aws.amazon.com/dynamodb/pricing/on-demand/) "
    f"{1e6 * READ_UNIT:g} per million read units; "
    "[traffic to the Internet](https://aws.amazon.com/ec2/pricing/on-demand/) "
    f"{1e9 * BYTE_OUT:.2f} per GB. Of a request to the endpoint alone: without authorizer, "
    "firewall, logs and writes, of which our index makes two."
)
COUNTS = (1, 100, 1000)
_COMPARED = (stacks.OURS, stacks.TUTORIAL, stacks.FASTAPI, stacks.NODE)


@dataclass(frozen=True)
class Cost:
    """Of one list, but for the dollars.

    Attributes:
        bytes_out: the response's body, in its content coding.
    """

    read_units: float
    pages: int
    bytes_out: int
    gb_seconds: float
    dollars_per_million: float


def cost(samples: Samples, table: Table, wall_ms: float) -> Cost:
    """Of the list that was measured, read from this table within `wall_ms`."""
    gb_seconds = wall_ms / 1000 * MEMORY_MB / 1024
    compute = LAMBDA_REQUEST + gb_seconds * LAMBDA_GB_SECOND
    rest = table.read_units * READ_UNIT + API_REQUEST + samples.body_bytes * BYTE_OUT
    return Cost(
        table.read_units, len(table.pages), samples.body_bytes, gb_seconds, 1e6 * (compute + rest)
    )


def costs(warm: Results, tables: Mapping[int, Mapping[str, Table]]) -> dict[str, dict[str, Cost]]:
    """By `name_of` the list and its coding, then by stack; of the median wall time."""
    return {
        name: {
            stack.name: cost(samples, tables[count][stack.layout], median(samples.wall))
            for stack in _COMPARED
            if (samples := warm[name].get(stack.name))
        }
        for count in COUNTS
        for coding in ("gzip", "zstd")
        if (name := name_of(count, coding))
    }
