import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segjax.errors import ExperimentError
from segjax.runs.load import load


def test_a_run_that_has_learned_nothing_is_not_predicted_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = sys.modules["segjax.runs.load"]
    monkeypatch.setattr(module, "complete_steps", lambda _: [0])
    experiment: Any = SimpleNamespace(predicts_with="last")
    with pytest.raises(ExperimentError, match=r"stopped before its first step .* train --resume"):
        load(tmp_path, experiment=experiment)
