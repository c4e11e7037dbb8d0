"""An evaluation as one page that holds all it needs, for light, dark and paper."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lexicon.words import NOTICE
from ml.evaluation.evaluate import LEAK_WARNING, Evaluation
from ml.evaluation.report.charts import draw
from ml.evaluation.report.parts import Matrix, Table, code_of, name_of
from ml.evaluation.report.sections import sections, title

FOLDER = Path(__file__).parent


def as_page(evaluation: Evaluation, colours: Mapping[str, str]) -> str:
    """The whole evaluation as HTML with its style and pictures inside."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"name_of": name_of, "code_of": code_of}
    environment.tests |= {
        "table": lambda part: isinstance(part, Table),
        "matrix": lambda part: isinstance(part, Matrix),
    }
    return environment.get_template("page.html").render(
        evaluation=evaluation,
        title=title(evaluation),
        sections=sections(evaluation),
        svg=partial(draw, evaluation=evaluation),
        colours=colours,
        labels={name_of(label): label for label in colours},
        leak_warning=LEAK_WARNING,
        notice=NOTICE,
    )
