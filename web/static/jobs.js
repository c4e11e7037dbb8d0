// The list of jobs: refreshed every few seconds while one of them runs.

import { localTimes } from "./page.js";
import { look, pauseUnseen, replaceRegions } from "./requests.js";

let wait = 2000;
while (document.querySelector("[data-region=jobs][data-live]")) {
  await pauseUnseen(wait);
  const seen = await look(location.href);
  if (seen.over) break;
  wait = seen.wait;
  if (seen.parsed?.querySelector("[data-region=jobs]")) replaceRegions(seen.parsed);
  localTimes();
}
