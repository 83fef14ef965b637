"""Bars as SVG: small text files, readable in light and dark."""

import statistics
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

WIDTH, NAMES, ROW, TOP = 720, 130, 26, 44
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.unit { fill: #59636e } line { stroke: #59636e }
.a { fill: #2f6fd0 } .b { fill: #8b95a1 } .c { fill: #d1242f } .d { fill: #bf8700 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .unit { fill: #9198a1 } line { stroke: #c9d1d9 }
  .a { fill: #58a6ff } .b { fill: #6e7681 } .c { fill: #f85149 } .d { fill: #d29922 }
}"""


def bars(
    path: Path, title: str, unit: str, found: Mapping[str, Sequence[float]], ours: str
) -> None:
    """Draw the median of each row, with its spread as a line."""
    scale = (WIDTH - NAMES - 110) / max(max(values) for values in found.values())
    parts = []
    for number, (name, values) in enumerate(found.items()):
        y, middle = TOP + number * ROW, statistics.median(values)
        low, high = NAMES + min(values) * scale, NAMES + max(values) * scale
        parts += [
            _name(name, y),
            _bar(NAMES, y, middle * scale, "a" if name == ours else "b"),
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 8}" y2="{y + 8}"/>',
            f'<text x="{high + 8:.1f}" y="{y + 13}">{shown(middle)}</text>',
        ]
    _write(path, title, unit, parts, len(found))


def stacks(path: Path, title: str, unit: str, found: Mapping[str, Mapping[str, int]]) -> None:
    """Draw the parts of each row one behind the other."""
    scale = (WIDTH - NAMES - 250) / max(1, *(sum(row.values()) for row in found.values()))
    parts = []
    for number, (name, row) in enumerate(found.items()):
        x, y = float(NAMES), TOP + number * ROW
        parts.append(_name(name, y))
        for kind, (word, value) in zip("cdb", row.items(), strict=False):
            if value:
                parts.append(_bar(x, y, value * scale, kind, f"{value} {word}"))
                x += value * scale
        told = ", ".join(f"{value} {word}" for word, value in row.items() if value) or "none"
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 13}">{told}</text>')
    _write(path, title, unit, parts, len(found))


def shown(value: float) -> str:
    """Return a figure as it is printed."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _name(name: str, y: int) -> str:
    return f'<text x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'


def _bar(x: float, y: int, width: float, kind: str, title: str = "") -> str:
    box = f'x="{x:.1f}" y="{y}" width="{max(width, 1):.1f}" height="16"'
    return f'<rect class="{kind}" {box}><title>{escape(title)}</title></rect>'


def _write(path: Path, title: str, unit: str, parts: Sequence[str], rows: int) -> None:
    height = TOP + rows * ROW + 6
    head = f'<text x="8" y="22">{escape(title)} <tspan class="unit">{escape(unit)}</tspan></text>'
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    label = f'role="img" aria-label="{escape(title)}"'
    start = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>'
    path.write_text("\n".join([start, f"<style>{STYLE}</style>", head, *parts, "</svg>", ""]))
