// An image's page: arrow keys go on, a verdict that is awaited appears by itself, and the box round
// the cell is shown or not, as it was chosen last.

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
  // The sides in the table are those before a photograph was turned upright.
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

const away = (still) => say(still ? "The server does not answer. This page goes on by itself as soon as it does." : null);

function stop(error) {
  if (error.status === 401) say("You were signed out.", "Sign in again.", signInAddress());
  else say(error.message);
}

if (waiting) follow().catch(stop);

// The next picture is fetched ahead, so that going on shows it at once.
for (const link of document.querySelectorAll("[data-key]")) {
  const id = /images\/(\d+)/.exec(link.href)[1];
  new Image().src = `/images/${id}/thumbnail/1024`;
}
