"""Submitting images: one, or a folder of thousands."""

from __future__ import annotations

import secrets
from pathlib import PurePath
from typing import BinaryIO, cast

from flask import Blueprint, flash, redirect, render_template, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from core import audit, intake, jobs
from core.audit import Action
from core.errors import HematoVisionError, Refused
from core.intake import Accepted, quotas
from core.people import accounts
from core.states import JobState
from core.tables import Job
from lexicon import folders
from lexicon.formats import ARCHIVES, FORMATS_IN_WORDS, SUFFIXES
from lexicon.names import clean_name
from web.actions.audit import actor
from web.actions.jobs import models_for, require_choice
from web.actions.repeats import once
from web.security.caller import person
from web.wiring import wired

blueprint = Blueprint("submit", __name__)
_LATEST = 3


@blueprint.get("/")
def show_form() -> str:
    """Show the drop area and this person's unfinished uploads."""
    user = person()
    with wired().database.reading() as session:
        unfinished = session.scalars(
            select(Job)
            .where(Job.owner_id == user.id, Job.state == JobState.RECEIVING)
            .order_by(Job.created_at.desc())
            .limit(_LATEST)
        ).all()
        newest, _ = jobs.page_of_jobs(session, accounts.visible_jobs(user), 1, None)
        models = models_for(session, user)
    return render_template(
        "submit.html",
        unfinished=unfinished,
        first_time=not newest,
        limits=wired().limits,
        most=wired().settings.max_job_files,
        accepts=",".join((*SUFFIXES, *ARCHIVES)),
        rule=folders.RULE,
        formats=FORMATS_IN_WORDS,
        models=models,
        once=secrets.token_urlsafe(16),
    )


@blueprint.post("/predict")
def predict() -> Response:
    """Take one image from a plain form, for browsers without JavaScript, and go to its page."""
    upload = request.files.get("image")
    if upload is None or not upload.filename:
        flash("Choose an image first.", "error")
        return redirect(url_for("submit.show_form"))
    wiring = wired()
    try:
        accepted = intake.accept(cast(BinaryIO, upload.stream), wiring.blobs, wiring.limits)
    except Refused as refused:
        flash(str(refused), "error")
        return redirect(url_for("submit.show_form"))
    try:
        image_id = _submit_one(upload.filename, accepted, request.form.get("model", ""))
    except HematoVisionError:
        wiring.let_go([accepted.sha256])
        raise
    return redirect(url_for("images.show_image", image_id=image_id))


def _submit_one(name: str, accepted: Accepted, model: str) -> int:
    wiring, user = wired(), person()
    entry = jobs.Entry(name, accepted.size, accepted.sha256)
    with wiring.database.writing() as session:
        require_choice(session, user, model)

        def make() -> int:
            job = jobs.create(session, user.id, PurePath(clean_name(name)).name)
            quotas.require_turn(session, user.id, wiring.settings)
            with quotas.bounded(session, job, wiring.settings):
                ((image, _),) = jobs.announce(session, job, [entry], 1, wiring.keeps)
            jobs.receive(session, job, image, accepted, wiring.keeps)
            jobs.submit(session, job, wiring.settings, without_missing=False, model=model)
            audit.note(session, Action.JOB_SUBMITTED, actor(), f"job {job.id}")
            return image.id

        return once(session, user, make, name, accepted.sha256, model)
