"""A page needs nothing else, says what the files say, and can be read by everyone."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from segjax.data import Dataset
from segjax.report import read_run, write_report, write_run_page, write_runs_page
from segjax.runs.report import report_runs
from segjax.runs.seeds import Interval
from segjax.tasks.examined import Examined, Example

SCORES = {
    "miou": 0.5,
    "iou": {"ground": 0.75, "<b>": None},
    "pixel_accuracy": 0.8,
    "dice": {"ground": 0.8, "<b>": 0.25},
}
DATA = Dataset("halves", ("ground", "<b>"), ((0, 0, 0), (255, 0, 0)), lambda split: [])  # type: ignore[return-value]


class Elements(HTMLParser):
    """Every element of a page with its attributes; those that are opened are closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f" {data}"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def finished(folder: Path, seed: int = 0, **knobs) -> Path:
    """What a run leaves, but for its checkpoints."""
    folder.mkdir(parents=True)
    kept = {"experiment": "halves", "command": "segjax train halves --width 8", "versions": {"jax": "1.2.3"}}
    kept |= {"knobs": {"width": 8, "loss": ["dice"], "seed": seed} | knobs, "defaults": {"width": 4, "loss": ["dice"]}}
    (folder / "run.json").write_text(json.dumps(kept))
    report = {"val": SCORES, "test": SCORES | {"miou": 0.5 + seed / 10}, "checkpoint": "last", "steps": 20}
    (folder / "report.json").write_text(json.dumps(report | {"train_seconds": 75.0, "peak_bytes": 2**21}))
    rows = [{"step": 10, "train": {"loss": 1.0}}, {"step": 20, "train": {"loss": 0.5}}, {"step": 20, "val": SCORES}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def examined() -> Examined:
    images = [{"index": i, "name": f"image {i}", "digest": str(i), "miou": i / 3} for i in range(3)]
    layers = {name: np.full((4, 4, 3), 90, np.uint8) for name in ("image", "truth", "prediction", "error")}
    details = {"confusion": [[6, 2], [0, 0]], "calibration": [[0, 0, 0], [4, 3.0, 2]]}
    return Examined(images, 9, details, [Example("image 0", "bad", layers)], [Example("image 1", "so so", layers)])


def test_it_needs_nothing_from_elsewhere_and_can_be_read_by_everyone(tmp_path: Path, examined: Examined):
    folder = finished(tmp_path / "run")
    write_report(folder, "miou", DATA, examined)
    text = (folder / "report.html").read_text()
    page = Elements(text)
    assert "http" not in text
    assert all(
        address.startswith("data:") for a in page.of("img") + page.of("link") if (address := a.get("src") or a["href"])
    )
    assert [one["alt"] for one in page.of("img")][:4] == [
        f"image 0: {layer}; bad" for layer in ("image", "truth", "prediction", "error")
    ]
    assert all(one.get("scope") in ("row", "col") for one in page.of("th"))
    assert all(one["aria-label"] for one in page.of("svg"))
    assert len({one["name"] for one in page.of("input")}) == 3  # for all together, and for each example
    assert "<b>" not in text.replace("&lt;b&gt;", "")
    assert page.of("html") == [{"lang": "en"}]


def test_it_says_what_the_files_say(tmp_path: Path, examined: Examined):
    folder = finished(tmp_path / "run")
    write_report(folder, "miou", DATA, examined)
    said = " ".join(Elements((folder / "report.html").read_text()).text.split())
    assert "0.500 mean IoU on the test split, of the last checkpoint after 20 steps." in said
    assert "class IoU Dice ground 0.750 0.800 <b> – 0.250" in said
    assert "ground 75.0 25.0 <b> – –" in said  # no pixel is of that class
    assert "ground <b> 25.0% 25.0%" in said
    assert "Calibration: expected error 0.250" in said
    assert "Pixels of each true class" in said
    of_attributes = examined.details | {"confused": ["anger", "fear"]}
    write_report(folder, "miou", DATA, examined._replace(details=of_attributes))
    said = " ".join(Elements((folder / "report.html").read_text()).text.split())
    assert "Objects of each true attribute (row) by predicted attribute (column)" in said
    assert "anger 75.0 25.0 fear – –" in said
    assert "taken for of the attribute of all objects anger fear 25.0% 25.0%" in said
    assert "width 8 instead of 4 loss dice seed 0" in said
    assert "Training 1 min 15 s Peak memory of a step 2 MiB" in said
    assert "segjax train halves --width 8" in said
    assert "of 3 of its 9 images, spread evenly" in said


def test_without_what_older_runs_have_not_it_says_what_is_left_out(tmp_path: Path):
    folder = finished(tmp_path / "run")
    write_run_page(folder, note="Images are left out: they are gone.")
    page = Elements((folder / "report.html").read_text())
    assert "Images are left out: they are gone." in page.text
    assert "Confusion" not in page.text
    assert not page.of("img")


def test_several_runs_stand_side_by_side(tmp_path: Path):
    runs = {name: [read_run(finished(tmp_path / name, seed))] for name, seed in (("one", 0), ("other", 3))}
    runs["wide"] = [read_run(finished(tmp_path / "wide", width=9))]
    write_runs_page(tmp_path / "page.html", runs, {name: group[0].report["test"] for name, group in runs.items()})
    page = Elements((tmp_path / "page.html").read_text())
    said = " ".join(page.text.split())
    assert "run seeds width one 0 8 other 3 8 wide 0 9" in said
    assert "run mean IoU pixel accuracy one 0.5 0.8 other 0.8 0.8 wide 0.5 0.8" in said
    assert all(one.get("scope") in ("row", "col") for one in page.of("th"))


def test_a_seed_that_is_there_twice_counts_once_in_an_interval(tmp_path: Path):
    runs = [finished(tmp_path / "a" / name, seed) for name, seed in (("0", 0), ("1", 1), ("again", 1))]
    said = " ".join(Elements(report_runs(runs, tmp_path / "page.html").read_text()).text.split())
    interval = f"{Interval.of([0.5, 0.6])}"
    assert f"{tmp_path / 'a'} {interval} 0.800 ± 0.000 {runs[2]} 0.600 0.800" in said
