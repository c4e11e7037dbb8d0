// Pictures that a worker is still making appear by themselves.

import { pause } from "./requests.js";

const SHORTEST = 500;
const LONGEST = 15000;

// Pictures far below the fold are not fetched yet.
const near = (picture) => picture.complete && picture.getBoundingClientRect().top < innerHeight * 2;
const pending = () => [...document.querySelectorAll("img[data-pending]")].filter(near);

// One request at a time; a picture that can't be made is not asked for again: its placeholder says why.
async function look(picture) {
  const place = picture.dataset.pending;
  const response = await fetch(place).catch(() => null);
  const settled = response && !response.redirected && (response.ok || response.status === 404);
  if (!settled || response.status === 202) return false;
  picture.src = place;
  picture.removeAttribute("data-pending");
  return true;
}

async function follow() {
  for (let wait = SHORTEST; ; wait = Math.min(LONGEST, wait * 1.5)) {
    await pause(document.hidden ? LONGEST : wait);
    for (const picture of pending()) if (await look(picture)) wait = SHORTEST;
    if (!document.querySelector("img[data-pending]")) wait = SHORTEST;
  }
}

follow();
