"""The race beside the peers: that its harness sees what is lost, repeated and stuck."""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.ledger import Ledger
from benchmarks.peers import faults, plot, report, speed
from benchmarks.peers.contestant import contestants
from benchmarks.peers.faults import Trial
from benchmarks.peers.stand import stand

PYTHON = Path(sys.executable)
(OURS,) = contestants("this_project")


@pytest.fixture
def trial() -> Iterator[Trial]:
    with stand(OURS, PYTHON, safe=True) as place, place.pusher() as tell:
        yield Trial(place, tell, patience=3)


def test_a_hole_in_the_ledger_is_seen(tmp_path: Path) -> None:
    (tmp_path / "ledger").touch()
    ledger = Ledger(tmp_path / "ledger")
    for number in (0, 1, 3, 3, 4):
        ledger.mark(number)
    assert speed.account(ledger.runs(5)) == (1, 1)


def test_figures_of_this_project() -> None:
    found = speed.measure(OURS, OURS.speed[0], PYTHON, speed.Sizes(seconds=0, waits=20), {})
    assert set(found) == set(speed.UNITS)
    assert found.pop("lost") == found.pop("twice") == 0
    assert min(found.values()) > 0
    assert found["p50"] <= found["p99"]


def test_this_project_survives_the_death_of_a_child() -> None:
    outcome = faults.suffer(OURS, "kill -9, child", PYTHON, patience=30)
    assert (outcome["lost"], outcome["stuck"]) == (0, 0)
    assert outcome["notes"] == []


def test_a_lost_job_is_told_from_one_that_is_stuck(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "QUIET", 0.5)
    trial.push("slow", 3)
    stuck = trial.outcome()
    assert (stuck.lost, stuck.stuck) == (0, 3)
    trial.place.redis.rpop(OURS.waiting)
    trial.start()
    lost = trial.outcome()
    assert (lost.lost, lost.stuck, lost.twice) == (1, 0, 0)


def test_a_job_that_ran_twice_is_seen(trial: Trial) -> None:
    trial.push("slow", 2)
    trial.place.ended.mark(1)
    trial.start()
    trial.until(lambda: sum(trial.place.ended.runs(2)) == 3, 10)
    assert trial.outcome().twice == 1


def test_a_worker_that_ends_by_itself_is_started_again(trial: Trial) -> None:
    trial.push("slow", 1)
    trial.start()
    trial.place.signal(9)
    assert trial.until(lambda: trial.deaths == 1 and trial.place.processes(), 10)
    assert "1 times" in trial.outcome().notes[0]


def test_each_contestant_says_what_it_is() -> None:
    field = list(contestants())
    assert len(field) == 8
    for contestant in field:
        assert contestant.better
        assert contestant.settings
        assert contestant.waiting in contestant.held
        assert all({"title", "noop", "nap"} == set(way) for way in contestant.speed)


def test_plots_are_svg(tmp_path: Path) -> None:
    plot.bars(tmp_path / "bars.svg", "A & b", "ms", {"x": [1, 2, 3], "y": [10, 11, 12]}, ours="x")
    plot.stacks(tmp_path / "stacks.svg", "Lost", "jobs", {"x": {"lost": 3, "stuck": 0}})
    rects = [
        [float(rect.get("width", 0)) for rect in ET.parse(path).iter(f"{SVG}rect")]
        for path in (tmp_path / "bars.svg", tmp_path / "stacks.svg")
    ]
    assert rects[0][1] == pytest.approx(5.5 * rects[0][0], rel=0.01)
    assert plot.WIDTH / 3 < rects[0][1] < plot.WIDTH
    assert len(rects[1]) == 1


SVG = "{http://www.w3.org/2000/svg}"


def test_tables_name_what_is_bad() -> None:
    outcome = {"lost": 2, "stuck": 0, "twice": 1, "late": 4.2}
    assert report.told(outcome) == "2 lost, 1 twice, +4.2 s"
    assert report.told(outcome | {"lost": 0, "twice": 0, "late": 0.1}) == "0"
    found = {name: [1.0, 2.0, 9.0] for name in speed.UNITS} | {"lost": [0, 0, 1]}
    row = dict(zip(speed.UNITS, report.speed_row(found), strict=True))
    assert row["lost"] == "1"
    assert row["p50"] == "2.00 (1.00 to 9.00)"
