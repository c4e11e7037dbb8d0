// The list of jobs: fresh every two seconds while one of them runs.

import { localTimes } from "./page.js";
import { fragment, pause, replaceRegions } from "./requests.js";

while (document.querySelector("[data-region=jobs][data-live]")) {
  await pause(document.hidden ? 10000 : 2000);
  const parsed = await fragment(location.href);
  if (parsed?.querySelector("[data-region=jobs]")) replaceRegions(parsed);
  localTimes();
}
