"""Whether people can read while others send slowly, and while very many read.

    python -m benchmarks.readers ../shared/data/bccd4/TRAIN

A whole system runs on this machine, of which this command takes a part itself; the part is printed.
First, for each kind of slow connection in turn, so many are held open while one person looks at the
list of jobs and a job's page four times a second. Then a job is run while many people have its page
open, which looks for news as its script does and is told how often, and some click through its
gallery every few seconds, with the thumbnails they have not seen yet. Requests are sent when they
are due and not when the last one was answered; a time counts from then.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import click
import httpx
import psutil
from sqlalchemy import select

from benchmarks.connections import Answer, Browser, Times, held, kinds
from benchmarks.rig import Rig, running, sign_in, spread
from core import jobs
from core.people import tokens
from core.people.accounts import RoleName
from core.states import ENDED, TokenKind
from core.tables import Job, Role, User
from hematovision import local

_LOOK_SECONDS = 0.25
_CLICK_SECONDS = 3.0
_GALLERY_SECONDS, _GALLERY_WAITS = 5.0, 3
_THUMBNAILS = 24
_SCRIPT = {"X_Requested_With": "fetch", "Accept": "*/*"}
_FRAGMENT = re.compile(rb'data-fragment="([^"]+)"')
_PICTURE = re.compile(rb'src="(/images/\d+/thumbnail/\d+)"')


def people(rig: Rig, count: int) -> list[str]:
    """Add clinicians, who see every job, and sign each in; return their cookies."""
    links = []
    with rig.database.writing() as session:
        role = session.scalars(select(Role).where(Role.name == RoleName.CLINICIAN)).one()
        for number in range(count):
            person = User(email=f"reader-{number}@example.org", roles=[role])
            session.add(person)
            session.flush()
            links.append(tokens.issue(session, person, TokenKind.SIGN_IN, "benchmark"))
    return [_cookie(rig, link) for link in links]


def _cookie(rig: Rig, link: str) -> str:
    with httpx.Client(base_url=local.address(rig.settings), timeout=60) as browser:
        sign_in(browser, f"/sign-in/{link}")
        return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


async def look_on(browser: Browser, kind: str, paths: list[str], seconds: float) -> None:
    """Look at pages in turn, four times a second, whether the last one has come or not."""
    asked, began = [], time.monotonic()
    for number in range(round(seconds / _LOOK_SECONDS)):
        due = began + number * _LOOK_SECONDS
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        asked.append(asyncio.create_task(browser.get(kind, paths[number % len(paths)], due)))
    await asyncio.gather(*asked)


async def among_slow(rig: Rig, cookie: str, slow: int, stalled: int, seconds: float) -> Times:
    """Hold slow connections of each kind in turn while one person looks."""
    with rig.database.writing() as session:
        token = tokens.issue(session, rig.owner, TokenKind.API, "benchmark")
        job = jobs.create(session, rig.owner.id, "receives")
        entries = [jobs.Entry(f"{number}.png", 9_000_000, None) for number in range(stalled)]
        awaited = jobs.announce(session, job, entries, rig.settings.max_job_files)
        paths, images = ["/jobs", f"/jobs/{job.id}"], [image.id for image, _ in awaited]
    times = Times()
    browser = Browser(rig.settings.port, cookie, times)
    await look_on(browser, "nothing else", paths, seconds)
    for kind in kinds(token, job.id, images):
        count = stalled if kind.name == "stalled uploads" else slow
        async with held(kind, count, rig.settings.port):
            await look_on(browser, f"{count} {kind.name}", paths, seconds)
    browser.close()
    return times


class Reader:
    """Somebody who has a job's page open."""

    def __init__(self, browser: Browser, job: int, over: Callable[[], bool], rng: Random) -> None:
        self._browser, self._job, self._over, self._rng = browser, job, over, rng
        self._thumbnails: set[bytes] = set()

    async def watch(self) -> None:
        """Open the page, then look for news as `web/static/job.js` does."""
        await asyncio.sleep(self._rng.uniform(0, 10))
        await self._browser.get("job page", f"/jobs/{self._job}", time.monotonic())
        tag, quiet, wait, drawn = "", 0, 1.0, 0.0
        while not self._over():
            due = time.monotonic() + wait
            await asyncio.sleep(wait)
            seen = {"If_None_Match": tag} if tag else {}
            path = f"/jobs/{self._job}/summary"
            news = await self._browser.get("look for news", path, due, **_SCRIPT, **seen)
            if news is None:
                wait = 1.0
                continue
            tag = news.headers["etag"]
            quiet = min(5, quiet + 1) if news.status == 304 else 0
            wait = float(news.headers["x-look-again"]) * (1 + quiet)
            paused = max(_GALLERY_SECONDS, _GALLERY_WAITS * float(news.headers["x-look-again"]))
            if news.status == 200 and time.monotonic() - drawn > paused:
                drawn = time.monotonic()
                await self._gallery("gallery anew", f"/jobs/{self._job}/gallery")

    async def click(self) -> None:
        """Go from bin to bin, and see the pictures there."""
        path = f"/jobs/{self._job}/gallery"
        due, pictures = time.monotonic() + self._rng.uniform(0, 10), []
        while not self._over():
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            gallery = await self._gallery("gallery clicked", path, due)
            due += _CLICK_SECONDS
            if gallery is None:
                continue
            pictures.append(asyncio.create_task(self._pictures(gallery.body)))
            bins = _FRAGMENT.findall(gallery.body)
            path = self._rng.choice(bins).decode().replace("&amp;", "&") if bins else path
        await asyncio.gather(*pictures)

    async def _gallery(self, kind: str, path: str, due: float | None = None) -> Answer | None:
        return await self._browser.get(kind, path, due or time.monotonic(), **_SCRIPT)

    async def _pictures(self, body: bytes) -> None:
        shown = _PICTURE.findall(body)[:_THUMBNAILS]
        new = [path for path in shown if path not in self._thumbnails]
        self._thumbnails.update(new)
        now = time.monotonic()
        await asyncio.gather(*(self._browser.get("thumbnail", path.decode(), now) for path in new))


async def reading(rig: Rig, cookies: list[str], clickers: int, job: int, seconds: float) -> Times:
    """Have many people read while a job runs, until it has ended or the time is over."""
    times = Times()
    opened = [Browser(rig.settings.port, cookie, times) for cookie in cookies]
    end = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > end

    async def watch_job() -> None:
        nonlocal end
        while not over():
            await asyncio.sleep(1)
            with rig.database.reading() as session:
                if session.get_one(Job, job).state in ENDED:
                    end = 0.0

    rig.submit(job)
    readers = [Reader(browser, job, over, Random(n)) for n, browser in enumerate(opened)]
    clicking = [reader.click() for reader in readers[:clickers]]
    await asyncio.gather(watch_job(), *(reader.watch() for reader in readers), *clicking)
    for browser in opened:
        browser.close()
    return times


def told(rig: Rig, title: str, run: Callable[[], Times]) -> None:
    """Run, and print what was measured, and who used the processor."""
    me, before, began = psutil.Process(), rig.processor_seconds(), time.monotonic()
    mine = sum(me.cpu_times()[:2])
    times = run()
    seconds = time.monotonic() - began
    used = {kind: s - before.get(kind, 0.0) for kind, s in rig.processor_seconds().items()}
    used["this command"] = sum(me.cpu_times()[:2]) - mine
    click.echo(f"\n{title}, {seconds:.0f} s; times in ms")
    click.echo("\n".join(times.lines(seconds)))
    click.echo("cores used: " + ", ".join(f"{kind} {s / seconds:.2f}" for kind, s in used.items()))
    web = [f"{now / 2**20:.0f} ({most / 2**20:.0f})" for now, most in rig.memory().get("web", [])]
    click.echo(f"MB of each web process now (at most): {', '.join(web)}")


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--readers", default=200, show_default=True, help="People with the job's page open.")
@click.option("--clickers", default=20, show_default=True, help="Those of them who click.")
@click.option("--images", default=5000, show_default=True, help="Size of the job that runs.")
@click.option("--seconds", default=60, show_default=True, help="How long they read, at most.")
@click.option("--slow", default=200, show_default=True, help="Slow connections of each kind.")
@click.option("--stalled", default=20, show_default=True, help="Stalled uploads.")
@click.option("--slow-seconds", default=10, show_default=True, help="How long each kind is held.")
@click.option("--port", default=8767, show_default=True, help="Port of the system under test.")
def main(folder: Path, port: int, images: int, **options: int) -> None:
    """Print how long people wait for pages among slow connections, and among many readers."""
    with running(port=port) as rig:
        rig.wait_for_pages()
        first, *cookies = people(rig, 1 + options["readers"])
        if options["slow"]:
            slow = (options["slow"], options["stalled"], options["slow_seconds"])
            told(rig, "Among slow ones", lambda: asyncio.run(among_slow(rig, first, *slow)))
        if options["readers"]:
            job = rig.hand_in(spread(folder, images))
            rig.wait_for_workers(1)
            told(
                rig,
                f"{len(cookies)} readers, {options['clickers']} of whom click",
                lambda: asyncio.run(
                    reading(rig, cookies, options["clickers"], job, options["seconds"])
                ),
            )


if __name__ == "__main__":
    main()
