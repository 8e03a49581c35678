"""Load on the local API: `make load SECONDS=60`. Many clients, small and large lists mixed.

On this machine only, and it ends by itself. The local API runs one request at a time, so what it
says is whether anything breaks or grows, not what AWS could bear.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx

from dev.local import demo
from tests.support.emulators import free_port, ministack

CLIENTS = 16
MAX_SECONDS = 300
KEY = demo.KEYS[0].key
KINDS: dict[str, tuple[str, dict[str, str]]] = {
    "one conversation": ("demo", {}),
    "a page of 20": ("demo-busy", {"limit": "20"}),
    "an inbox without messages": ("demo-busy", {"sort": "-updatedAt", "messages": "none"}),
    "all 500": ("demo-busy", {}),
}
WEIGHTS = (50, 30, 15, 5)


def load(url: str, seconds: float) -> tuple[dict[str, list[float]], Counter[str]]:
    """Asks until the seconds are over; the latencies of each kind, and what went wrong."""
    latencies: dict[str, list[float]] = defaultdict(list)
    errors: Counter[str] = Counter()
    ends = time.monotonic() + seconds

    def client(number: int) -> None:
        choose = random.Random(number)
        with httpx.Client(timeout=60, trust_env=False) as http:
            while time.monotonic() < ends:
                (kind,) = choose.choices(list(KINDS), WEIGHTS)
                workspace, query = KINDS[kind]
                headers = {"x-api-key": KEY, "x-workspace-id": workspace}
                start = time.perf_counter()
                try:
                    answer = http.get(url, params=query, headers=headers)
                    if answer.status_code != httpx.codes.OK or not answer.json():
                        errors[f"{kind}: {answer.status_code}"] += 1
                except (httpx.HTTPError, ValueError) as error:
                    errors[f"{kind}: {type(error).__name__}"] += 1
                latencies[kind].append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies, errors


def resident_mb(pid: int) -> float:
    """The memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main(seconds: float) -> int:
    """Put load on a new local API. Return 1 if there was an error or its memory grew."""
    port = free_port()
    with (
        ministack(SERVICES="dynamodb") as dynamodb,
        subprocess.Popen(
            [sys.executable, "-m", "dev", "serve", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "AWS_ENDPOINT_URL_DYNAMODB": dynamodb},
        ) as process,
    ):
        assert process.stdout
        process.stdout.readline()
        url = f"http://127.0.0.1:{port}/v1/api/conversations"
        try:
            load(url, seconds / 4)  # what is kept for good is kept by then
            before = resident_mb(process.pid)
            latencies, errors = load(url, seconds * 3 / 4)
            after = resident_mb(process.pid)
        finally:
            process.terminate()
    count = sum(map(len, latencies.values()))
    print(
        f"{count} requests of {CLIENTS} clients in {seconds * 3 / 4:.0f} s, {errors.total()} errors"
    )
    print(f"{'':28}{'requests':>9}{'p50 ms':>9}{'p90 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for kind in KINDS:
        times = sorted(latencies[kind]) or [0.0]
        shares = (times[int(share * (len(times) - 1))] for share in (0.5, 0.9, 0.99, 1))
        print(f"{kind:28}{len(times):>9}" + "".join(f"{latency:>9.0f}" for latency in shares))
    grown = after - before
    print(f"memory {before:.0f} MB, then {after:.0f} MB")
    for error, times_seen in errors.most_common():
        print(f"{times_seen} x {error}")
    return int(bool(errors) or grown > max(20.0, before / 10))


if __name__ == "__main__":
    sys.exit(main(min(float(sys.argv[1]) if sys.argv[1:] else 60.0, MAX_SECONDS)))
