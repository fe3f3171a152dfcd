import os
from collections.abc import Iterator

import pytest
from forks import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts `segjax` commands that share what they compile, with those of pytest's other processes, too."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    forks = Forks(tmp_path_factory.mktemp("forks"), shared / "compiled")
    yield forks
    forks.close()
