"""What was measured → a plot for docs/performance.md."""

from math import floor, log10

from benchmarks.measure import GROWTH, Results, name_of

_COLOURS = ("#0a7d4f", "#c2410c", "#7c3aed", "#2563eb")
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 720, 400, 70, 40, 200, 50


def growth(results: Results) -> str:
    """CPU time over the number of conversations, both logarithmic, as SVG."""
    counts = [case.count for case in GROWTH]
    cases = [results[name_of(count, "gzip")] for count in counts]
    lines = {name: [by_stack[name].summary()["cpu_ms"] for by_stack in cases] for name in cases[0]}
    low = floor(log10(min(min(line) for line in lines.values())))
    high = floor(log10(max(max(line) for line in lines.values()))) + 1
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(count: float) -> float:
        return _LEFT + across * log10(count) / log10(counts[-1])

    def y(value: float) -> float:
        return _TOP + down * (high - log10(value)) / (high - low)

    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="system-ui, sans-serif" font-size="13">'
        ),
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        (
            f'<text x="{_LEFT}" y="22" font-size="15">CPU per warm request, ms '
            "(conversations of 1.2 KB, gzip)</text>"
        ),
    ]
    for power in range(low, high + 1):
        at = y(10**power)
        parts += [
            f'<line x1="{_LEFT}" x2="{_LEFT + across}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>',
        ]
    parts += [
        f'<text x="{x(count):.1f}" y="{_HEIGHT - 28}" text-anchor="middle">{count:,}</text>'
        for count in counts
    ]
    for colour, line in zip(_COLOURS, lines.values(), strict=False):
        points = " ".join(f"{x(c):.1f},{y(v):.1f}" for c, v in zip(counts, line, strict=True))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
    ends = sorted(
        (y(line[-1]), name, colour)
        for colour, (name, line) in zip(_COLOURS, lines.items(), strict=False)
    )
    last = 0.0
    for at, name, colour in ends:
        last = max(at + 4, last + 16)
        parts.append(f'<text x="{_LEFT + across + 8}" y="{last:.1f}" fill="{colour}">{name}</text>')
    return "\n".join((*parts, "</svg>\n"))
