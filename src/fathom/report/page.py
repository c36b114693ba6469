"""The report: one self-contained page beside the image files."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fathom.figures.frames import Frames, in_order
from fathom.figures.verdict_table import verdict_table
from fathom.losses import LossStep
from fathom.report.images import write_images
from fathom.report.pack import pack
from fathom.report.payload import charts, compress, prediction_table, study_table, to_script
from fathom.report.scored import scored_table
from fathom.report.units import unit_table
from fathom.store.commit import commit

_SCRIPTS = (
    *("data", "dom", "state", "filters", "charts", "traces", "panels", "columns", "table"),
    *("matrix", "compare", "units", "details", "losses", "main"),
)


def write_report(
    frames: Frames,
    folder: Path,
    *,
    title: str,
    study_yaml: str,
    facts: Mapping[str, str],
    loss_steps: Sequence[LossStep] = (),
    formats: Sequence[str] = ("png", "svg", "pdf"),
) -> Path:
    """Write `report.html` and `figures/*` for a study.

    Args:
        frames: The measurements; the runs may come in any order.
        folder: Made if missing. Files of an earlier report with the same names are replaced.
        title: The study's name.
        study_yaml: The resolved study as text.
        facts: What else the page's head says, such as when it finished, in the order to be shown.
        loss_steps: How far each loss steps at its rate; shown where losses are compared.
        formats: Of the image files: some of `png`, `svg`, `pdf`; none to write the page alone.

    Returns:
        The path of the page.

    Raises:
        FathomError: If a format is unknown or a file cannot be written.
    """
    ordered = in_order(frames)
    images = write_images(ordered, folder, formats)
    page = render_page(
        ordered,
        title=title,
        study_yaml=study_yaml,
        facts=facts,
        loss_steps=loss_steps,
        files=images.files,
        left_out=images.left_out,
    )
    path = folder / "report.html"
    commit(path, page.encode())  # a reader never sees half a page
    return path


def render_page(
    frames: Frames,
    *,
    title: str,
    study_yaml: str,
    facts: Mapping[str, str],
    files: Mapping[str, list[str]],
    left_out: Mapping[str, str],
    loss_steps: Sequence[LossStep] = (),
) -> str:
    """Return the page as text: template, style, program, data and the plotting library in one.

    The page runs only the two scripts whose hashes its policy lists: its own and the plotting
    library, which is embedded compressed and unpacked by the first.

    Args:
        frames: The measurements, in the order in which the runs are listed.
        title: The study's name.
        study_yaml: The resolved study as text.
        facts: What else the head says.
        files: Paths of the image files, for each figure.
        left_out: Why a figure is missing, for each.
        loss_steps: How far each loss steps at its rate.
    """
    elements = data_elements(
        frames,
        title=title,
        study_yaml=study_yaml,
        facts=facts,
        files=files,
        left_out=left_out,
        loss_steps=loss_steps,
    )
    return assemble(elements, title=title)


def data_elements(
    frames: Frames,
    *,
    title: str,
    study_yaml: str,
    facts: Mapping[str, str],
    files: Mapping[str, list[str]],
    left_out: Mapping[str, str],
    loss_steps: Sequence[LossStep] = (),
) -> dict[str, str]:
    """Return what the page holds of a study: the texts of its data elements, by their ids.

    An open page is built again from other texts when these replace the old ones and the event
    `newdata` is sent to the window. The arguments are those of `render_page`.
    """
    run_ids = frames.runs["run_id"].to_list()
    packed = pack(run_ids, frames.epochs, frames.layers)
    judged = verdict_table(frames)
    made, without = charts(frames)
    study = study_table(
        frames,
        packed,
        judged,
        title=title,
        study_yaml=study_yaml,
        facts=facts,
        loss_steps=loss_steps,
        files=files,
        left_out={**left_out, **without},
    )
    return {
        "study": to_script(study),
        "charts": _compressed_json(made),
        "predictions": _compressed_json(prediction_table(frames, judged)),
        "scored": _compressed_json(scored_table(frames)),
        "units": _compressed_json(unit_table(frames)),
        "measurements": compress(packed.content),
    }


def assemble(
    elements: Mapping[str, str], *, title: str, more_scripts: Sequence[str] = (), policy: str = ""
) -> str:
    """Put a page together.

    Args:
        elements: From `data_elements`.
        title: The study's name.
        more_scripts: Programs that run after the page's own.
        policy: What the page may do; only its own scripts, and no connection, where left out.
    """
    programs = (_program(), *more_scripts)
    return fill(
        _asset("page.html"),
        policy=policy or page_policy(),
        title=html.escape(title),
        style=_asset("page.css"),
        library=_library()[1],
        programs="\n".join(f"<script>{program}</script>" for program in programs),
        **elements,
    )


def page_policy(more_scripts: Sequence[str] = (), *, connects: bool = False) -> str:
    """Write the Content-Security-Policy: which scripts run, and nothing from anywhere.

    Args:
        more_scripts: Programs that may run beside the page's own and the plotting library.
        connects: Whether the page may ask the server that it came from.
    """
    scripts = (_program(), _library()[0], *more_scripts)
    rules = [
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, scripts))}",
        *(["connect-src 'self'"] if connects else []),
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join(rules)


@cache
def _library() -> tuple[str, str]:
    """Return the plotting library as text and as it is embedded."""
    from plotly.offline import get_plotlyjs  # half a second that only reports should pay

    text = get_plotlyjs()
    return text, compress(text.encode())


def fill(template: str, **parts: str) -> str:
    """Put the parts in place of `{{name}}`, once: what a part contains is never filled in again.

    >>> fill("<p>{{a}}</p>{{b}}", a="{{b}}", b="!")
    '<p>{{b}}</p>!'
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _asset(name: str) -> str:
    return (files("fathom.report") / "assets" / name).read_text(encoding="utf-8")


def _program() -> str:
    """Join the page's scripts in one scope of their own."""
    body = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(function buildPage() {{\n{body}}})();\n'


def _compressed_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return compress(json.dumps(value, allow_nan=False, separators=(",", ":")).encode())


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
