// What the network looked at: requested without leaving the image's page, and laid over the crop at
// an adjustable strength.

import { call, fragment, pauseUnseen, replaceRegions, say } from "./requests.js";

const region = () => document.querySelector("[data-region=why]");
const OPEN = new Set(["waiting", "making"]);

// The answer takes the place of the question; the focus goes to it, so that it is read out.
async function showAnswer() {
  const parsed = await fragment(region().dataset.answer);
  if (!parsed) return location.reload();
  const asked = region().contains(document.activeElement);
  replaceRegions(parsed);
  offerStrength();
  if (asked) region().querySelector("h2").focus({ preventScroll: true });
}

async function follow(state) {
  for (let wait = 300; OPEN.has(state); wait = Math.min(3000, wait * 1.2)) {
    await pauseUnseen(wait);
    ({ state } = await call("GET", region().dataset.explanation));
  }
  await showAnswer();
}

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("[data-ask]");
  if (!form) return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.ariaDisabled === "true") return;
  // A button that is disabled would lose the focus.
  button.ariaDisabled = "true";
  button.textContent = "A worker is preparing the answer…";
  try {
    await follow((await call("POST", region().dataset.explanation)).state);
  } catch (error) {
    button.ariaDisabled = "false";
    button.textContent = "Ask again";
    form.append(trouble(error.message));
  }
});

function trouble(message) {
  const words = document.createElement("p");
  words.className = "wrong";
  words.setAttribute("role", "alert");
  words.textContent = message;
  return words;
}

function offerStrength() {
  const strength = region()?.querySelector("[data-strength]");
  if (!strength) return;
  const range = strength.querySelector("input");
  const apply = () => {
    for (const layer of region().querySelectorAll("[data-layer]")) layer.style.opacity = range.value / 100;
  };
  strength.hidden = false;
  range.addEventListener("input", apply);
  apply();
}

offerStrength();
if (OPEN.has(region()?.dataset.state)) follow(region().dataset.state).catch((error) => say(error.message));
