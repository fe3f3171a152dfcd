from pathlib import Path

import pytest

from segjax.errors import ExperimentError
from segjax.runs.experiment_file import read_experiment
from segjax.runs.names import find, names

PRESETS = {
    "segmentation": ["land_cover", "nuclei", "pets", "camvid", "folder"],
    "detection": ["trees", "islands_many", "faces", "wider_face", "faces_emotions"],
    "localization": ["islands"],
    "multitask": ["islands_multitask"],
}
NAMED = [*PRESETS, *(name for names in PRESETS.values() for name in names)]


def test_every_experiment_that_comes_with_segjax_has_a_name():
    assert set(names()) == set(NAMED)
    assert all(find(name).stem == file for file, names in PRESETS.items() for name in [file, *names])


@pytest.mark.parametrize("name", NAMED)
def test_the_table_that_is_read_is_the_table_that_is_run(name: str):
    file = read_experiment(name)
    assert file.name == name
    assert file.knobs()["steps"] >= 1


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "land_cver",
            "land_cver is no experiment and not a file; name an experiment before .*, such as land_cover",
        ),
        ("experiments/land_cover.py", "experiments/land_cover.py is not a file; .* such as land_cover"),
        ("zzzzzz", "such as camvid or detection or faces"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match=sentence):
        find(name)


def test_a_file_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("land_cover").write_text("")
    assert find("land_cover") == Path("land_cover")
