// One .zip or .tar, sent as the body of one request. The job's own count shows the progress.

import { call, pause } from "./requests.js";

// Returns the chosen archive, if there is one, or why it can't be sent. An archive inside a folder
// is treated like any other file.
export function archiveIn(files, { archives, other_archives, pack_anew }) {
  const ends = (name, suffixes) => suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
  const found = files.filter(({ name }) => !name.includes("/") && ends(name, [...archives, ...other_archives]));
  if (!found.length) return { archive: null, problem: "" };
  const [{ file, name }] = found;
  let problem = "";
  if (files.length > 1) problem = "Choose one archive at a time, and nothing else with it.";
  else if (!ends(name, archives)) problem = `${name} can't be read here. ${pack_anew}, or choose their folder.`;
  return { archive: problem ? null : file, problem };
}

export const withoutSuffix = (name) => name.replace(/(\.tar)?\.[^.]*$/i, "");

export async function sendArchive(job, file, view) {
  let over = false;
  const tell = async () => {
    for (view.tell("Sending the archive…"); !over; await pause(1000)) {
      const now = await call("GET", `/api/v1/jobs/${job}`).catch(() => null);
      const count = now?.counts.received;
      if (count && !over) view.tell(`${count.toLocaleString("en")} files received so far`);
    }
  };
  tell();
  try {
    await call("PUT", `/api/v1/jobs/${job}/archive`, file, (waiting) => {
      if (waiting) view.tell(`Waiting: ${waiting}`);
    });
  } finally {
    over = true;
  }
  return call("POST", `/api/v1/jobs/${job}/submit`, {});
}
