"""A finished study, and a page of a folder that the test may change."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fathom.api import Study
from live.folders import STUDY, Reader

pytest.importorskip("starlette", reason="the extra `live` is not installed")
pytest.importorskip("uvicorn", reason="the extra `live` is not installed")

Open = Callable[[Path], Reader]


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two cohorts of two runs."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "s.yaml").write_text(STUDY)
    Study.load(folder / "s.yaml").run(folder / "results", workers=1, progress=False)
    return folder / "results" / "growing"


@pytest.fixture
def open_page() -> Iterator[Open]:
    """Serve the page of a folder, and hand out a reader of it."""
    from fathom.live.server import serve

    services, readers = [], []

    def start(folder: Path) -> Reader:
        services.append(serve(folder, poll_s=0.05))
        readers.append(Reader(services[-1].address))
        return readers[-1]

    yield start
    for reader in readers:
        reader.close()
    for service in services:
        service.close()
