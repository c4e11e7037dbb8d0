// An image's page: arrow keys go on, a verdict that is awaited appears by itself, and the box round
// the cell is shown or not, as it was chosen last.

import { call, pause } from "./requests.js";

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
while (waiting) {
  await pause(500);
  const image = await call("GET", `/api/v1/images/${waiting.dataset.image}`);
  if (image.state !== "received") {
    location.reload();
    break;
  }
}

// The next picture is fetched ahead, so that going on shows it at once.
for (const link of document.querySelectorAll("[data-key]")) {
  const id = /images\/(\d+)/.exec(link.href)[1];
  new Image().src = `/images/${id}/thumbnail/1024`;
}
