"""torch's modules start from the same numbers whatever ran before them."""

import pytest
import torch


def pytest_fixture_setup() -> None:
    """Also before a fixture that is made once for a file."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Before every test."""
    torch.manual_seed(0)
