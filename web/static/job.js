// A job's page: live progress, a gallery that loads as it is scrolled, reports, resuming an upload.

import { archiveIn, sendArchive } from "./archive.js";
import { listen, skipWords } from "./files.js";
import { localTimes } from "./page.js";
import { call, fragment, look, pause, pauseUnseen, replaceRegions } from "./requests.js";
import { SendingView, submitSent, Upload } from "./upload.js";

const root = document.querySelector("[data-job]");
const job = root.dataset.job;
const ENDED = new Set(root.dataset.ended.split(" "));
const region = (name) => document.querySelector(`[data-region="${name}"]`);
const announcer = root.querySelector("[data-announcer]");

// Progress never goes back: an answer overtaken by a later one is not shown.
let shown = Number(region("status").querySelector("progress")?.value ?? 0);
let scrolled = false;

// The gallery takes long to fetch and draw. For a running job it is fetched again now and then; the
// longer the server asks us to wait, the less often.
const [GALLERY_PAUSE, GALLERY_WAITS] = [5000, 3];
const MOST_QUIET = 5;

async function follow() {
  let [state, tag, quiet, wait, drawn] = [root.dataset.state, null, 0, 1000, -Infinity];
  while (!ENDED.has(state)) {
    await pauseUnseen(wait);
    const seen = await look(`/jobs/${job}/summary`, tag);
    if (seen.over) return;
    tag = seen.tag;
    const status = seen.parsed?.querySelector("[data-region=status]");
    quiet = status ? 0 : Math.min(MOST_QUIET, quiet + 1);
    wait = seen.wait * (1 + quiet);
    if (!status) continue;
    const share = Number(status.querySelector("progress")?.value ?? 1);
    if (share < shown && status.dataset.state === state) continue;
    if (state === "receiving" && status.dataset.state !== state) return location.reload();
    announce(share, state, status);
    [shown, state] = [share, status.dataset.state];
    replaceRegions(seen.parsed);
    localTimes(root);
    const due = drawn + Math.max(GALLERY_PAUSE, GALLERY_WAITS * seen.wait);
    if (scrolled || (!ENDED.has(state) && performance.now() < due)) continue;
    drawn = performance.now();
    await showBin();
  }
}

function announce(share, before, status) {
  const changed = status.dataset.state !== before;
  if (changed || Math.floor(share * 4) > Math.floor(shown * 4)) {
    announcer.textContent = status.querySelector(".line").innerText;
  }
}

// Fetches the bin that is shown again, or shows another one.
async function showBin(path = null) {
  const current = region("gallery")?.querySelector("nav [aria-current]")?.dataset.fragment;
  const order = region("gallery")?.querySelector(".sort [aria-current]")?.dataset.fragment;
  const parsed = await fragment(path ?? order ?? current ?? `/jobs/${job}/gallery`);
  if (parsed) replaceRegions(parsed);
  watchEnd();
}

root.addEventListener("click", async (event) => {
  const link = event.target.closest("[data-fragment], [data-more]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.more) return more(link);
  scrolled = false;
  await showBin(link.dataset.fragment);
  history.replaceState(null, "", link.href);
});

async function more(link) {
  if (link.dataset.busy) return;
  link.dataset.busy = scrolled = true;
  const parsed = await fragment(link.dataset.more);
  delete link.dataset.busy;
  if (!parsed) return;
  region("gallery").querySelector("[data-tiles]").append(...parsed.querySelector("[data-tiles]").children);
  const next = parsed.querySelector("[data-more]");
  if (next) link.replaceWith(next);
  else link.remove();
  watchEnd();
}

const ends = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) if (isIntersecting) more(target);
}, { rootMargin: "600px" });

// The second page of tiles waits for a click or a scroll, so a short page does not load more by itself.
function watchEnd() {
  ends.disconnect();
  const link = region("gallery")?.querySelector("[data-more]");
  if (link && scrollY > 0) ends.observe(link);
}

addEventListener("scroll", watchEnd, { passive: true, once: true });

document.addEventListener("submit", async (event) => {
  const path = event.target.dataset.report;
  if (!path) return;
  event.preventDefault();
  const button = event.target.querySelector("button");
  const words = root.querySelector("[data-report-state]");
  button.disabled = true;
  words.textContent = "The report is being made…";
  try {
    let report = await call("POST", path, { paper: event.target.paper.value });
    while (report.state === "waiting" || report.state === "making") {
      await pause(500);
      report = await call("GET", `/api/v1/reports/${report.id}`);
    }
    words.textContent = report.state === "ready" ? "" : report.message;
    if (report.state === "ready") location.assign(report.url);
  } catch (error) {
    words.textContent = error.message;
  }
  button.disabled = false;
});

function receive(box) {
  const view = new SendingView(box);
  const [files, folder] = [box.querySelector("#files"), box.querySelector("#folder")];
  const rule = JSON.parse(box.dataset.rule);
  let busy = false;
  folder.hidden = false;
  listen(box.querySelector("[data-drop]"), files, folder, box.querySelector("[data-pick-folder]"), rule, async (chosen, skips) => {
    const unread = skips.filter(({ reason }) => reason === "unreadable");
    if (busy || (unread.length && !confirm(`${skipWords(unread, rule)} Continue without them?`))) return;
    if (!chosen.length) return skips.length && view.fail(skipWords(skips, rule));
    const { archive, problem } = archiveIn(chosen, rule);
    if (problem) return view.fail(problem);
    busy = true;
    try {
      if (archive) {
        await sendArchive(job, archive, view);
        return location.reload();
      }
      const upload = new Upload(job, { files: chosen, skips }, Number(box.dataset.maxBytes), (now) => view.show(now));
      view.show(upload);
      await upload.run();
      await submitSent(job, upload);
      location.reload();
    } catch (error) {
        view.fail(error.message);
    }
    busy = false;
  });
}

const receiving = document.querySelector("[data-receiving]");
if (receiving?.querySelector("[data-drop]")) receive(receiving);
follow();
watchEnd();
