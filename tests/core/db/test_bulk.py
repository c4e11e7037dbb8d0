"""Rows written at once are the rows that were given, on both databases."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import select

from core.db import insert_new_rows, update_rows, utcnow
from core.states import ImageState
from core.tables import Image, Prediction
from tests.core.conftest import Life

NASTY = 'neutro"phil\\ \n{é, 血}'


def prediction(life: Life, image_id: int, **changes: Any) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "model_digest": life.digest,
        "label": "monocyte",
        "confidence": 0.1 + 0.2,
        "outcome": "accepted",
        "candidates": ["monocyte"],
        "reason": "",
        "familiarity": None,
        "box": None,
        "probabilities": [math.pi / 4, 5e-324, 1 / 3],
        "created_at": utcnow(),
        **changes,
    }


def predictions(life: Life) -> dict[int, Prediction]:
    with life.database.reading() as session:
        return {row.image_id: row for row in session.scalars(select(Prediction))}


def images_of(life: Life, count: int) -> list[int]:
    job_id = life.submitted(count)
    with life.database.reading() as session:
        query = select(Image.id).where(Image.job_id == job_id).order_by(Image.position)
        return list(session.scalars(query))


def test_inserted_rows_come_back_to_the_last_digit(life: Life) -> None:
    first, second = images_of(life, 2)
    rows = [
        prediction(life, first),
        prediction(life, second, label=NASTY, familiarity=0.7, box=[0.1, 0.2, 0.3, 0.7]),
    ]
    with life.database.writing() as session:
        insert_new_rows(session, Prediction, rows)
    for row in rows:
        inserted = predictions(life)[row["image_id"]]
        assert {name: getattr(inserted, name) for name in row} == row


def test_rows_that_are_there_are_passed_over(life: Life) -> None:
    first, second = images_of(life, 2)
    with life.database.writing() as session:
        insert_new_rows(session, Prediction, [prediction(life, first)])
        again = [
            prediction(life, first, label="basophil"),
            prediction(life, second, label="basophil"),
        ]
        insert_new_rows(session, Prediction, again)
    assert [predictions(life)[i].label for i in (first, second)] == ["monocyte", "basophil"]


def test_only_the_named_rows_and_columns_are_updated(life: Life) -> None:
    first, second, third = images_of(life, 3)
    rows = [
        {"id": first, "state": ImageState.CLASSIFIED, "label": NASTY, "confidence": 1 / 3},
        {"id": second, "state": ImageState.FAILED, "label": None, "confidence": None},
    ]
    with life.database.writing() as session:
        before = {image.id: image.name for image in session.scalars(select(Image))}
        session.expunge_all()
        update_rows(session, Image, rows)
    with life.database.reading() as session:
        images = {image.id: image for image in session.scalars(select(Image))}
    assert {id_: image.name for id_, image in images.items()} == before
    assert (images[first].state, images[first].label) == (ImageState.CLASSIFIED, NASTY)
    assert images[first].confidence == 1 / 3
    assert (images[second].state, images[second].label) == (ImageState.FAILED, None)
    assert images[third].state is ImageState.RECEIVED


def test_no_rows_are_no_statement(life: Life) -> None:
    with life.database.writing() as session:
        insert_new_rows(session, Prediction, [])
        update_rows(session, Image, [])
    assert predictions(life) == {}
