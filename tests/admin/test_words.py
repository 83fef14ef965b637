"""Numbers, times and charts, as the pages write them."""

from datetime import UTC, datetime, timedelta

import pytest

from django_jobs.admin import charts
from django_jobs.templatetags import django_jobs as words


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.6, "600 ms"),
        (0.9996, "1.0 s"),
        (1.44, "1.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_799, "48 h"),
        (172_800, "2 days"),
        (1e9, "11,574 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


def test_moments() -> None:
    now = datetime.now(UTC)
    assert ">3 min ago<" in words.moment(now - timedelta(seconds=181))
    assert ">in 5 min<" in words.moment(now + timedelta(seconds=301))
    assert f'datetime="{now.isoformat(timespec="seconds")}"' in words.moment(now)
    assert words.moment(None) == words.NONE


def test_sizes() -> None:
    sizes = (1, 9999, 10_240, 20 * 1024**2, 20 * 1024**3)
    assert [words.size(size) for size in sizes] == [
        "1 byte",
        "9,999 bytes",
        "10 kB",
        "20 MB",
        "20.0 GB",
    ]


def test_names() -> None:
    assert words.short("0" * 20 + "0123456789ab") == "…0123456789ab"
    assert words.short("short-id") == "short-id"
    assert words.class_name("shop.errors.NoStock") == "NoStock"
    assert words.breakable("a.b_<c>") == "a.<wbr>b_<wbr>&lt;c&gt;"


@pytest.mark.parametrize(
    ("peak", "top"), [(0, 2), (1, 1), (3, 4), (10, 10), (11, 20), (693, 800), (999, 1000)]
)
def test_the_axis_ends_at_a_round_number(peak: int, top: int) -> None:
    assert charts.nice_top(peak) == top


def test_failures_stand_below_what_succeeded() -> None:
    good, bad = charts.bars([(10, 4), (0, 0), (5, 0), (2, 2)], 10)
    assert bad == "M12.0 100v-40.0h126.0v40.0zM462.0 100v-20.0h126.0v20.0z"
    assert good == "M12.0 60v-60.0h126.0v60.0zM312.0 100v-50.0h126.0v50.0z"
