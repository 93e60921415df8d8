"""What all tests share: third-party warnings that cannot be avoided, and the folder of real scans."""

from __future__ import annotations

from pathlib import Path

import pytest

# napari and its manifest reader still use what pydantic has deprecated; said once, on import
_THIRD_PARTY = (
    "ignore:`json_encoders` is deprecated:DeprecationWarning",
    "ignore:Using extra keyword arguments on `Field` is deprecated:DeprecationWarning",
    "ignore:`allow_mutation` is deprecated:DeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in _THIRD_PARTY:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real scans beside the project; the test is skipped where they are not."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the real scans in ../shared/data")
    return folder
