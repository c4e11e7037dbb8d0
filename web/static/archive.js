// One .zip or .tar: sent as it is in one request, while the job's own count shows how far it is.

import { call, pause } from "./requests.js";

// The archive that was chosen, if one was, or why it can't be sent. One inside a folder is a file
// like any other there.
export function archiveIn(files, { archives, other_archives, pack_anew }) {
  const ends = (name, suffixes) => suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
  const found = files.filter(({ name }) => !name.includes("/") && ends(name, [...archives, ...other_archives]));
  if (!found.length) return { archive: null, problem: "" };
  const [{ file, name }] = found;
  let problem = "";
  if (files.length > 1) problem = "Choose one archive at a time, and nothing beside it.";
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
      if (count && !over) view.tell(`${count.toLocaleString("en")} files taken in so far`);
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
