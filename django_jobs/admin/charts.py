"""Charts as paths of SVG: bars stacked on each other, and small lines."""

from collections.abc import Sequence

WIDTH, HEIGHT = 600, 100
STEPS = (1, 2, 4, 5, 8, 10)


def bars(minutes: Sequence[tuple[int, int]], top: int) -> tuple[str, str]:
    """Return the paths of what succeeded and, below it, of what failed."""
    each, good, bad = WIDTH / max(len(minutes), 1), [], []
    for place, (runs, failures) in enumerate(minutes):
        x, wide = round(place * each + each * 0.08, 1), round(each * 0.84, 1)
        low, high = (round(HEIGHT * value / top, 1) for value in (failures, runs))
        if failures:
            bad.append(f"M{x} {HEIGHT}v-{low}h{wide}v{low}z")
        if runs > failures:
            good.append(f"M{x} {HEIGHT - low:g}v-{high - low:.1f}h{wide}v{high - low:.1f}z")
    return "".join(good), "".join(bad)


def line(values: Sequence[int], width: int = 100, height: int = 20) -> str:
    """Return the path of a small line; its highest point touches the top."""
    top = max(max(values, default=0), 1)
    step = width / max(len(values) - 1, 1)
    points = [
        f"{round(place * step, 1):g} {round(height - (height - 1) * value / top, 1):g}"
        for place, value in enumerate(values)
    ]
    return "M" + "L".join(points)


def nice_top(peak: int) -> int:
    """Return the number at the end of an axis: the next one that is easy to halve or to read."""
    power = 1
    while power * 10 < peak:
        power *= 10
    return next(step * power for step in STEPS if step * power >= peak) if peak else 2
