// Talks to the server: sends JSON with the CSRF token, waits while the server is away, passes on the
// server's own messages.

const csrf = document.querySelector("meta[name=csrf-token]").content;
const AWAY = new Set([429, 502, 503, 504, 507]);
const NO_CONNECTION = "no connection, trying again…";
const LONGEST_PAUSE = 15000;

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Rejected extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function once(method, path, body, key) {
  const json = body !== undefined && !(body instanceof Blob);
  const headers = { "X-CSRFToken": csrf };
  if (method === "POST") headers["Idempotency-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = json ? "application/json" : "application/octet-stream";
  return fetch(path, { method, headers, body: json ? JSON.stringify(body) : body });
}

async function sentence(response) {
  if (response.status === 401) return "You are signed out. Sign in again, then continue from the job's page.";
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered with status ${response.status}. Try again.`;
  }
}

// Returns the server's own message; an answer from a proxy in front of it is of no use.
async function reason(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return NO_CONNECTION;
  }
}

// Repeats the request while the server or the network is away, or the disk is full. `waiting` is
// called with the cause at each pause, and with false at the end. All repeats carry the same key, so
// a lost answer creates nothing twice.
export async function call(method, path, body, waiting = () => {}) {
  const key = newKey();
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await once(method, path, body, key);
    } catch (error) {
      if (body instanceof Blob && !(await readable(body))) {
        throw new Rejected(0, "The file was changed or removed while it was being sent. Choose it again.");
      }
    }
    if (response && !AWAY.has(response.status)) {
      if (attempt) waiting(false);
      if (!response.ok) throw new Rejected(response.status, await sentence(response));
      return response.json();
    }
    waiting(response ? await reason(response) : NO_CONNECTION);
    await pause(Math.min(LONGEST_PAUSE, 500 * 2 ** attempt) * (0.75 + Math.random() / 2));
  }
}

// Outside a secure context there is no crypto.randomUUID.
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function readable(blob) {
  try {
    await blob.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// Returns a part of a page as the server renders it, or null if it is not available now.
export async function fragment(path) {
  return (await look(path)).parsed;
}

const QUIET_FAILURES = 1;
const HIDDEN_PAUSE = 30000;
let failures = 0;

// Fetches a part of a page, for pages that poll. `parsed` is null if nothing is new since `tag`, or if
// there is no answer; `over` means that polling should stop, and the page has said why; `wait` is the
// time until the next poll, in milliseconds.
export async function look(path, tag = null) {
  const headers = { "X-Requested-With": "fetch" };
  if (tag) headers["If-None-Match"] = tag;
  const response = await fetch(path, { headers }).catch(() => null);
  if (!response || response.status === 429 || response.status >= 500) return away(tag);
  failures = 0;
  if (response.status === 401) return over("You were signed out.", "Sign in again.", signInAddress());
  if (response.status >= 400) return over("This no longer exists.", "Go to jobs.", "/jobs");
  say(null);
  const parsed = response.status === 304 ? null : new DOMParser().parseFromString(await response.text(), "text/html");
  for (const field of parsed?.querySelectorAll("[data-region] input[name=csrf_token]") ?? []) field.setAttribute("value", csrf);
  const wait = 1000 * Number(response.headers.get("X-Look-Again"));
  return { parsed, tag: response.headers.get("ETag") ?? tag, wait, over: false };
}

function away(tag) {
  failures++;
  if (failures > QUIET_FAILURES) say("The server is not responding. This page will continue as soon as it does.");
  return { parsed: null, tag, wait: Math.min(LONGEST_PAUSE, 500 * 2 ** failures), over: false };
}

function over(words, link, address) {
  say(words, link, address);
  return { parsed: null, tag: null, wait: 0, over: true };
}

export const signInAddress = () => `/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;

// Shows one line at the top of the page that says why it is not moving; null removes the line.
export function say(words, link, address) {
  const main = document.getElementById("main");
  let note = main.querySelector("[data-contact]");
  if (!words) return note?.remove();
  if (!note) {
    note = document.createElement("p");
    note.className = "note error";
    note.dataset.contact = "";
    note.setAttribute("role", "alert");
    main.prepend(note);
  }
  const anchor = document.createElement("a");
  [anchor.href, anchor.textContent] = [address ?? "", link ?? ""];
  note.replaceChildren(words, ...(link ? [" ", anchor] : []));
}

// Waits, and much longer while the page is hidden; when it is shown again, it is refreshed at once.
export async function pauseUnseen(milliseconds) {
  if (!document.hidden) await pause(milliseconds);
  if (!document.hidden) return;
  await new Promise((done) => {
    const timer = setTimeout(go, HIDDEN_PAUSE);
    function go() {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", go);
      done();
    }
    document.addEventListener("visibilitychange", go);
  });
}

// Replaces each region of the page with the one of the same name, if it has changed.
export function replaceRegions(parsed) {
  for (const fresh of parsed.querySelectorAll("[data-region]")) {
    const old = document.querySelector(`[data-region="${fresh.dataset.region}"]`);
    if (old && old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
  }
}
