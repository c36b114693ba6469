"""The documents are true: links lead somewhere, studies load, the Python screen runs."""

import re
from pathlib import Path

import pytest

from fathom.spec.load import load_study

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    for target in re.findall(r"`((?:tests|docs|src)/[\w/.-]+)`", document.read_text()):
        assert (ROOT / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize(("number", "num_runs"), [(0, 96 * 5), (1, 10)])
def test_documented_studies_load(number: int, num_runs: int, tmp_path: Path) -> None:
    text = blocks(ROOT / "docs" / "study-files.md", "yaml")[number]
    (tmp_path / "documented.yaml").write_text(text)
    assert load_study(tmp_path / "documented.yaml").num_runs == num_runs


def test_the_documented_study_of_image_networks_loads(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "docs" / "models.md", "yaml")
    (tmp_path / "documented.yaml").write_text(text)
    assert load_study(tmp_path / "documented.yaml").num_runs == 6


def test_the_readme_study_has_the_runs_it_says(tmp_path: Path) -> None:
    (text,) = re.findall(r"    # study\.yaml\n((?:    .*\n)+)", (ROOT / "README.md").read_text())
    (tmp_path / "study.yaml").write_text(re.sub(r"^    ", "", text, flags=re.MULTILINE))
    assert load_study(tmp_path / "study.yaml").num_runs == 144


@pytest.mark.slow
def test_the_readme_python_screen_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(ROOT / "README.md", "python")[0]
    names: dict[str, object] = {"__name__": "screen"}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "gradients.png").stat().st_size > 10_000
    assert names["results"].runs.height == 12  # type: ignore[attr-defined]
    assert names["network"] is not None
