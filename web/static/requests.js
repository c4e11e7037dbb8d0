// Talking to the server: JSON with the CSRF token, patience while it is away, its own sentences.

const csrf = document.querySelector("meta[name=csrf-token]").content;
const AWAY = new Set([429, 502, 503, 504]);
const LONGEST_PAUSE = 15000;

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Rejected extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function once(method, path, body) {
  const json = body !== undefined && !(body instanceof Blob);
  const headers = { "X-CSRFToken": csrf };
  if (body !== undefined) headers["Content-Type"] = json ? "application/json" : "application/octet-stream";
  return fetch(path, { method, headers, body: json ? JSON.stringify(body) : body });
}

async function sentence(response) {
  if (response.status === 401) return "You are signed out. Sign in again, then go on from the job's page.";
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

// Repeats while the server or the network is away; `waiting` hears of each pause, and of its end.
export async function call(method, path, body, waiting = () => {}) {
  for (let attempt = 0; ; attempt++) {
    let response;
    try {
      response = await once(method, path, body);
    } catch (error) {
      if (body instanceof Blob && !(await readable(body))) {
        throw new Rejected(0, "The file changed or vanished while it was being sent.");
      }
    }
    if (response && !AWAY.has(response.status)) {
      if (attempt) waiting(false);
      if (!response.ok) throw new Rejected(response.status, await sentence(response));
      return response.json();
    }
    waiting(true);
    await pause(Math.min(LONGEST_PAUSE, 500 * 2 ** attempt) * (0.75 + Math.random() / 2));
  }
}

async function readable(blob) {
  try {
    await blob.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

// A part of a page as the server renders it, or null if it can't be had just now.
export async function fragment(path) {
  try {
    const response = await fetch(path);
    if (!response.ok || response.redirected) return null;
    return new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    return null;
  }
}

// Put each region of a fragment in the place of its namesake, unless nothing in it changed.
export function replaceRegions(parsed) {
  for (const fresh of parsed.querySelectorAll("[data-region]")) {
    const old = document.querySelector(`[data-region="${fresh.dataset.region}"]`);
    if (old && old.outerHTML !== fresh.outerHTML) old.replaceWith(fresh);
  }
}
