"""Every answer of the API is one of the models, whole and with no key beside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from flask import Flask, Response, request
from flask.testing import FlaskClient
from pydantic import BaseModel, TypeAdapter

import contract.results
from contract.base import Answer, Request
from contract.errors import ErrorAnswer
from contract.explanations import ExplanationStatus, ReadyExplanation
from contract.health import Health
from contract.images import ImageDetails, TilePage
from contract.jobs import (
    DeletedJob,
    DeletedJobPage,
    JobDetails,
    JobPage,
    JobReference,
    ModelChoice,
    NewJob,
    Submission,
)
from contract.models import ModelList
from contract.reports import ReportOrder, ReportStatus
from contract.results import Results
from contract.uploads import (
    ArchiveReceipt,
    FileStatus,
    Manifest,
    ManifestAnswer,
    ProblemPage,
    SkippedPage,
)
from contract.usage import UsageAnswer
from core.blobs import MemoryBlobs
from core.db import Database
from core.jobs import Failure
from lexicon.verdicts import Verdict
from tests.web.conftest import Api, Classify, Png, Submitted, content, judge_variously
from tests.web.packing import zipped
from tests.web.test_why import work

# Endpoint → the model of its answers. What is no JSON has none.
ANSWERS: dict[str, Any] = {
    "archives.put_archive": ArchiveReceipt,
    "deletion_api.delete_job": DeletedJob,
    "deletion_api.delete_pictures": JobReference,
    "deletion_api.get_usage": UsageAnswer,
    "deletion_api.keep_pictures": JobReference,
    "deletion_api.list_deleted": DeletedJobPage,
    "deletion_api.restore_job": JobReference,
    "explanation_api.get_explanation": ReadyExplanation | ExplanationStatus,
    "explanation_api.order_explanation": ReadyExplanation | ExplanationStatus,
    "health.health": Health,
    "image_api.get_image": ImageDetails,
    "job_api.act_on_job": JobDetails,
    "job_api.create_job": JobDetails,
    "job_api.get_job": JobDetails,
    "job_api.list_jobs": JobPage,
    "job_api.submit_job": JobDetails,
    "model_api.list_models": ModelList,
    "report_api.get_report": ReportStatus,
    "report_api.order_report": ReportStatus,
    "results.get_json": Results,
    "results.list_images": TilePage,
    "results.list_problems": ProblemPage,
    "results.list_skipped": SkippedPage,
    "uploads.manifest": ManifestAnswer,
    "uploads.put_image": FileStatus,
}
NO_JSON = {
    "explanation_api.get_picture",
    "explanation_api.get_reference",
    "report_api.get_pdf",
    "results.get_csv",
}
REQUESTS = (Manifest, ModelChoice, NewJob, ReportOrder, Submission)
Heard = dict[str, list[str]]


@pytest.fixture
def heard(app: Flask) -> Heard:
    """The JSON that each endpoint answers from now on; errors are under `error`."""
    answers: Heard = {}

    @app.after_request
    def note(response: Response) -> Response:
        if response.mimetype == "application/json":
            key = str(request.endpoint) if response.status_code < 400 else "error"
            answers.setdefault(key, []).append(response.get_data(as_text=True))
        return response

    return answers


def judge(image_id: int) -> Verdict | Failure:
    return Failure("decode", "It is cut.") if image_id == 5 else judge_variously(image_id)


@pytest.fixture
def tour(
    heard: Heard,
    api: Api,
    client: FlaskClient,
    submitted: Submitted,
    classify: Classify,
    png: Png,
    database: Database,
    blobs: MemoryBlobs,
) -> Heard:
    """What is heard while everything is asked for that the API knows."""
    client.get("/healthz")
    files = {f"{number}.png": png(number) for number in range(8)}
    job = submitted(files | {"again.png": png(1), "no.png": b"no image"})
    classify(judge)
    for path in ("/jobs", "/models", "/usage", "/images/1", "/images/5", "/images/9", "/images/77"):
        api("GET", path)
    for part in ("", "/images?size=3", "/images?state=refused", "/problems", "/results.json"):
        api("GET", f"/jobs/{job}{part}")
    _explain(api, database, blobs)
    api("POST", f"/jobs/{job}/reports", json={"paper": "Letter"})
    api("GET", "/reports/1")
    other = content(api("POST", "/jobs", json={"name": "Slide 8"}))["id"]
    api("PUT", f"/jobs/{other}/archive", data=zipped(files | {"no.png": b"no", "notes.txt": b"x"}))
    api("GET", f"/jobs/{other}/skipped")
    api("POST", f"/jobs/{other}/cancel")
    api("DELETE", f"/jobs/{job}/pictures")
    api("POST", f"/jobs/{job}/keep-pictures")
    api("DELETE", f"/jobs/{job}")
    api("GET", "/jobs/deleted")
    api("POST", f"/jobs/{job}/restore")
    return heard


def _explain(api: Api, database: Database, blobs: MemoryBlobs) -> None:
    api("POST", "/images/1/explanation")
    api("GET", "/images/1/explanation")
    work(database, blobs)
    api("GET", "/images/1/explanation")


def test_the_table_names_every_address_of_the_api(app: Flask) -> None:
    addresses = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1") or rule.rule == "/healthz"
    }
    assert addresses == set(ANSWERS) | NO_JSON


def test_every_answer_is_its_model_whole_and_with_no_key_beside(tour: Heard) -> None:
    assert set(tour) == {*ANSWERS, "error"}
    for endpoint, bodies in tour.items():
        reader = TypeAdapter(ANSWERS.get(endpoint, ErrorAnswer))
        for body in bodies:
            answer = reader.validate_json(body, extra="forbid")
            assert reader.dump_python(answer, by_alias=True, mode="json") == json.loads(body)
    bodies = tour["explanation_api.get_explanation"]
    states = [json.loads(body)["state"] for body in bodies]
    assert states == ["waiting", "ready"]
    assert "rather_than" in bodies[1]


def test_every_model_is_part_of_an_answer_or_a_request() -> None:
    used: set[type[BaseModel]] = set()
    for kind in (*ANSWERS.values(), ErrorAnswer, *REQUESTS):
        used.update(_models_in(kind))
    written = {kind for base in (Answer, Request) for kind in _below(base)}
    assert {kind.__name__ for kind in written - used} == {contract.results.ResultsHead.__name__}


def _below(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for kind in base.__subclasses__():
        if kind.__module__.startswith("contract."):
            yield kind
            yield from _below(kind)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from _models_in(field.annotation)
    for argument in get_args(annotation):
        yield from _models_in(argument)


def test_models_cannot_be_changed() -> None:
    reference = JobReference(id=4)
    change: Callable[[str, int], None] = reference.__setattr__
    with pytest.raises(ValueError, match="frozen"):
        change("id", 5)


def test_attributes_are_named_as_the_keys_in_json() -> None:
    """Only `class` has another name, since Python keeps that word for itself."""
    for kind in (*_below(Answer), *_below(Request)):
        for name, field in kind.model_fields.items():
            assert (field.alias or name) == {"class_name": "class"}.get(name, name)
