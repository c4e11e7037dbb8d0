// Sends a job's files: the manifest page by page, then one file per request, several in parallel.
//
// Hashing runs one page ahead of sending. Only the files being sent are in memory. Everything can be
// repeated: the server does not ask for what it already has.

import { call } from "./requests.js";

const PAGE = 500;
const PARALLEL = 4;
const SHOWN_REFUSALS = 200;

export class Upload {
  // `changed` is called with this object whenever its figures change.
  constructor(job, { files, skips }, maxBytes, changed) {
    Object.assign(this, { job, files, skips, maxBytes, changed });
    this.done = 0;
    this.sent = 0;
    this.refused = [];
    this.refusedCount = 0;
    this.unsent = new Set();
    this.waiting = false;
    this.images = [];
    this.began = performance.now();
  }

  get perSecond() {
    return this.done / Math.max(0.001, (performance.now() - this.began) / 1000);
  }

  get secondsLeft() {
    return (this.files.length - this.done) / Math.max(0.001, this.perSecond);
  }

  async run() {
    for (let start = 0; start < this.skips.length; start += PAGE) {
      const skipped = this.skips.slice(start, start + PAGE);
      await this.#call("POST", `/api/v1/jobs/${this.job}/manifest`, { files: [], skipped });
    }
    let next = this.#hashed(0);
    for (let start = 0; start < this.files.length; start += PAGE) {
      const entries = await next;
      next = start + PAGE < this.files.length ? this.#hashed(start + PAGE) : null;
      const answer = await this.#call("POST", `/api/v1/jobs/${this.job}/manifest`, { files: entries });
      await this.#send(this.files.slice(start, start + PAGE), answer.files);
    }
  }

  async #hashed(start) {
    const entries = [];
    for (const { file, name } of this.files.slice(start, start + PAGE)) {
      entries.push({ name, size: file.size, sha256: await this.#digest(file) });
    }
    return entries;
  }

  // Without a secure context there is no crypto.subtle; then name and size must do.
  async #digest(file) {
    if (!globalThis.crypto?.subtle || file.size > this.maxBytes) return null;
    try {
      const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
      return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    } catch {
      return null;
    }
  }

  async #send(files, known) {
    let at = 0;
    const lane = async () => {
      while (at < files.length) {
        const index = at++;
        const answer = known[index].needed ? await this.#put(known[index].id, files[index].file) : known[index];
        this.#note(files[index].name, answer);
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, lane));
  }

  async #put(image, file) {
    try {
      return await this.#call("PUT", `/api/v1/jobs/${this.job}/images/${image}`, file);
    } catch (error) {
      if (error.status !== 0) throw error;
      return { id: image, state: "missing", message: error.message };
    }
  }

  #note(name, answer) {
    this.done++;
    this.images.push(answer.id);
    // An "expected" file has the same bytes as another file of this job and arrives with it, or never.
    if (answer.state === "missing" || answer.state === "expected") this.unsent.add(answer.id);
    if (answer.state === "refused" || answer.state === "missing") {
      this.refusedCount++;
      if (this.refused.length < SHOWN_REFUSALS) this.refused.push({ name, message: answer.message });
    }
    this.changed(this);
  }

  #call(method, path, body) {
    return call(method, path, body, (waiting) => {
      this.waiting = waiting;
      this.changed(this);
    });
  }
}

// Submits the job. Files that vanished here are left out. Files that were only not chosen this time
// are not: they may still be sent.
export async function submitSent(job, upload) {
  const without = upload.unsent.size > 0 && await awaitsNothingElse(job, upload.unsent);
  return call("POST", `/api/v1/jobs/${job}/submit`, { without_missing: without });
}

async function awaitsNothingElse(job, unsent) {
  let before = "";
  do {
    const page = await call("GET", `/api/v1/jobs/${job}/images?state=expected&size=500&before=${before}`);
    if (!page.images.every(({ id }) => unsent.has(id))) return false;
    before = page.next;
  } while (before);
  return true;
}

const WORDS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

export function duration(seconds) {
  let left = Math.max(1, Math.round(seconds));
  const words = [];
  for (const [size, unit] of WORDS) {
    if (left >= size) words.push(`${Math.floor(left / size)} ${unit}`);
    left %= size;
  }
  return words.slice(0, 2).join(" ");
}

// Shows an upload in the markup of the macro `sending`; draws at most once per frame.
export class SendingView {
  constructor(root) {
    const find = (name) => root.querySelector(`[data-${name}]`);
    this.box = find("sending");
    this.bar = this.box.querySelector("progress");
    [this.figures, this.announcer, this.trouble] = ["figures", "announcer", "trouble"].map(find);
    [this.refusals, this.refusedCount, this.refused] = ["refusals", "refused-count", "refused"].map(find);
    this.quarter = 0;
    this.listed = 0;
  }

  show(upload) {
    this.upload = upload;
    this.box.hidden = false;
    this.frame ??= requestAnimationFrame(() => this.#draw());
  }

  // For an upload without figures: the bar moves without showing how far.
  tell(words) {
    this.box.hidden = false;
    this.bar.removeAttribute("value");
    this.figures.textContent = words;
  }

  fail(message) {
    this.box.hidden = false;
    if (this.bar.position < 0) this.bar.value = 0;
    this.trouble.textContent = message;
    this.trouble.hidden = false;
  }

  #draw() {
    this.frame = null;
    const { done, files, perSecond, secondsLeft, waiting } = this.upload;
    this.bar.value = Math.max(this.bar.value, done / files.length);
    const count = `${done.toLocaleString("en")} of ${files.length.toLocaleString("en")} files`;
    const pace = done > 3 ? ` · ${perSecond.toFixed(perSecond < 10 ? 1 : 0)} files/s` : "";
    const left = done > 3 && done < files.length ? ` · about ${duration(secondsLeft)} left` : "";
    this.figures.textContent = waiting ? `${count} · ${waiting}` : count + pace + left;
    this.#announce(done / files.length, count);
    this.#list();
  }

  #announce(share, count) {
    const quarter = Math.floor(share * 4);
    if (quarter > this.quarter) this.announcer.textContent = `${count} sent`;
    this.quarter = quarter;
  }

  #list() {
    const { refused, refusedCount } = this.upload;
    if (!refusedCount) return;
    this.refusals.hidden = false;
    this.refusedCount.textContent = refusedCount.toLocaleString("en");
    for (; this.listed < refused.length; this.listed++) {
      const { name, message } = refused[this.listed];
      const line = document.createElement("li");
      const file = document.createElement("bdi");
      file.textContent = name;
      line.append(file, ` – ${message}`);
      this.refused.append(line);
    }
  }
}
