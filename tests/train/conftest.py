from collections.abc import Iterator

import pytest
from forks import Forks


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts `segjax` commands that share what they compile."""
    forks = Forks(tmp_path_factory.mktemp("forks"))
    yield forks
    forks.close()
