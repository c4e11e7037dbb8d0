// An image's page: arrow keys go to the next image, an awaited verdict appears by itself, and the box
// around the cell is shown or hidden, as last chosen.

import { call, pauseUnseen, say, signInAddress } from "./requests.js";

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
  const link = document.querySelector(`[data-key="${event.key}"]`);
  if (link) location.assign(link.href);
});

const [shows, box] = [document.querySelector("[data-show-box]"), document.querySelector("[data-box]")];

if (shows) {
  const picture = document.querySelector("[data-framed] img");
  const turn = () => {
    if (picture.naturalWidth) box.setAttribute("viewBox", `0 0 ${picture.naturalWidth} ${picture.naturalHeight}`);
  };
  // The table holds the sides from before the photograph was turned upright.
  picture.addEventListener("load", turn);
  turn();
  shows.checked = sessionStorage.getItem("box") !== "hidden";
  shows.addEventListener("change", () => sessionStorage.setItem("box", shows.checked ? "shown" : "hidden"));
}

const waiting = document.querySelector("[data-waiting]");

async function follow() {
  for (let wait = 500; ; wait = Math.min(5000, wait * 1.2)) {
    await pauseUnseen(wait);
    const image = await call("GET", `/api/v1/images/${waiting.dataset.image}`, undefined, away);
    if (image.state !== "received") return location.reload();
  }
}

const away = (still) => say(still ? "The server is not responding. This page will continue as soon as it does." : null);

function stop(error) {
  if (error.status === 401) say("You were signed out.", "Sign in again.", signInAddress());
  else say(error.message);
}

if (waiting) follow().catch(stop);

// Fetches the neighbouring pictures ahead, so that they show at once.
for (const link of document.querySelectorAll("[data-key]")) {
  const id = /images\/(\d+)/.exec(link.href)[1];
  new Image().src = `/images/${id}/thumbnail/1024`;
}
