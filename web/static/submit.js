// The submit page: choose files, see what will be sent, send; for one image, see the verdict at once.

import { archiveIn, sendArchive, withoutSuffix } from "./archive.js";
import { filesize, folderOf, kinds, listen, skipWords } from "./files.js";
import { call, pause } from "./requests.js";
import { SendingView, submitSent, Upload } from "./upload.js";

const form = document.getElementById("submit");
const find = (name, root = form) => root.querySelector(`[data-${name}]`);
const input = document.getElementById("files");
const folder = document.getElementById("folder");
const verdict = find("verdict", document);
const view = new SendingView(form);
const rule = JSON.parse(form.dataset.rule);
let chosen = [];
let skipped = [];
let archive = null;
let busy = false;

function take(files, skips) {
  if (busy) return;
  const { archive: packed, problem } = archiveIn(files, rule);
  find("problem").textContent = problem;
  find("problem").hidden = !problem;
  find("skipped").textContent = skipWords(skips, rule);
  find("skipped").hidden = !skips.length;
  if (!files.length || problem) return;
  [chosen, archive, skipped] = [files, packed, skips];
  showVerdict(false);
  const alone = files.length === 1;
  const one = alone && !archive;
  const size = files.reduce((sum, { file }) => sum + file.size, 0);
  find("what").textContent = alone
    ? `${files[0].name}, ${filesize(size)}`
    : `${files.length.toLocaleString("en")} files, ${filesize(size)} (${kinds(files)})`;
  const most = Number(form.dataset.most);
  if (files.length > most) {
    find("what").textContent += `. A job can hold at most ${most.toLocaleString("en")} files: choose fewer.`;
  }
  find("go").disabled = files.length > most;
  find("go").textContent = one ? "Predict" : archive ? "Submit the archive" : `Submit ${files.length.toLocaleString("en")} images`;
  find("fields").hidden = one;
  document.getElementById("name").value = folderOf(files) || (alone ? withoutSuffix(files[0].name) : defaultName());
  for (const name of ["chosen", "actions", "clear"]) find(name).hidden = false;
  find("drop").classList.add("filled");
  preview(one ? files[0].file : null);
}

const defaultName = () => `Images of ${new Date().toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}`;

// The verdict takes the place of the drop area; the next image can still be dropped.
function showVerdict(shown) {
  verdict.hidden = !shown;
  for (const name of ["drop", "folder-line"]) find(name).hidden = shown;
  if (!shown) return;
  for (const name of ["chosen", "problem", "skipped", "sending", "refusals"]) find(name).hidden = true;
  for (const name of ["class", "state"]) find(`verdict-${name}`, verdict).textContent = "";
  for (const name of ["more", "picture"]) find(`verdict-${name}`, verdict).hidden = true;
}

// The field exists only if there is a choice; an empty value means the active model.
const model = () => document.getElementById("model")?.value ?? "";

function preview(file) {
  const picture = find("preview");
  if (picture.src) URL.revokeObjectURL(picture.src);
  picture.hidden = true;
  find("words").hidden = false;
  if (!file) return;
  picture.onload = () => {
    picture.hidden = false;
    find("words").hidden = true;
  };
  picture.src = URL.createObjectURL(file);
}

function clear() {
  [chosen, archive, skipped] = [[], null, []];
  form.reset();
  preview(null);
  find("drop").classList.remove("filled");
  for (const name of ["chosen", "problem", "skipped", "actions", "sending", "refusals"]) find(name).hidden = true;
  showVerdict(false);
  input.focus();
}

async function send() {
  busy = true;
  find("actions").hidden = true;
  try {
    const job = await call("POST", "/api/v1/jobs", {
      name: document.getElementById("name").value,
      reference: document.getElementById("reference").value,
      model: model(),
    });
    const one = chosen.length === 1 && !archive;
    if (!one) history.replaceState(null, "", job.url);
    if (archive) {
      await sendArchive(job.id, archive, view);
      return location.assign(job.url);
    }
    const upload = new Upload(job.id, { files: chosen, skips: skipped }, Number(form.dataset.maxBytes), (now) => view.show(now));
    view.show(upload);
    await upload.run();
    if (one) await predict(job, upload);
    else {
      await submitSent(job.id, upload);
      location.assign(job.url);
    }
  } catch (error) {
    view.fail(error.message);
  }
  busy = false;
}

async function predict(job, upload) {
  if (upload.refusedCount) {
    const { message } = upload.refused[0];
    await call("POST", `/api/v1/jobs/${job.id}/cancel`);
    showVerdict(true);
    find("verdict-class", verdict).textContent = "Not accepted";
    find("verdict-state", verdict).textContent = message;
    find("verdict-more", verdict).hidden = false;
    find("verdict-link", verdict).hidden = true;
    return;
  }
  await call("POST", `/api/v1/jobs/${job.id}/submit`, {});
  await follow(upload.images[0]);
}

async function follow(id) {
  showVerdict(true);
  const [state, picture] = [find("verdict-state", verdict), find("verdict-picture", verdict)];
  for (let attempt = 0; ; attempt++) {
    const image = await call("GET", `/api/v1/images/${id}`);
    if (image.picture && picture.hidden) [picture.src, picture.hidden] = [image.picture, false];
    if (image.state !== "received") return tell(image);
    state.textContent = attempt < 20 ? "Classifying…" : "Waiting for a worker. You can leave this page; the result will be under Jobs.";
    await pause(attempt < 20 ? 250 : 2000);
  }
}

function tell(image) {
  const [name, state] = [find("verdict-class", verdict), find("verdict-state", verdict)];
  const percent = `${((image.confidence ?? 0) * 100).toFixed(1)} %`;
  const guess = `${image.code} ${image.label}`;
  if (!image.label) [name.textContent, state.textContent] = ["Could not be classified", image.message];
  else if (image.outcome === "accepted") [name.textContent, state.textContent] = [guess, `${percent}, ${image.outcome_words.toLowerCase()}`];
  else [name.textContent, state.textContent] = [image.outcome_words, `Best guess: ${guess}, ${percent}. ${image.explanation ?? ""}`];
  find("verdict-link", verdict).href = image.url;
  find("verdict-link", verdict).hidden = false;
  find("verdict-more", verdict).hidden = false;
}

input.multiple = true;
// Dropped files never reach the input, so the browser must not require it.
input.required = false;
find("invitation").textContent = "Drop images, a folder, or one .zip or .tar here, or click to choose";
find("folder-line").hidden = false;
find("actions").hidden = true;
folder.hidden = false;
listen(find("drop"), input, folder, find("pick-folder"), rule, take);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (chosen.length && !busy) send();
});
find("clear").addEventListener("click", clear);
find("again", verdict).addEventListener("click", clear);
