// Splits what was dropped or picked into files to send, a list of {file, name} with the path within
// the folder as the name, and files to skip, a list of {name, reason}. The rule and its names of
// files and folders come from lexicon/folders.py; a test checks that the two agree.

const ACTING = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;
const NAMED = 10;

export function skippedFor(path, rule) {
  const parts = path.split(/[/\\]/).map((part) => part.trim()).filter((part) => !["", ".", ".."].includes(part));
  if (!parts.length) return null;
  const name = parts.at(-1).toLowerCase();
  if (rule.system_files.includes(name) || name.startsWith("._")) return "system";
  if (parts.slice(0, -1).some((part) => rule.system_folders.includes(part.toLowerCase()))) return "system";
  if (parts.some((part) => part.startsWith("."))) return "hidden";
  const plain = name.replace(ACTING, "").trim();
  return rule.sent.some((suffix) => plain.endsWith(suffix)) ? null : "not_image";
}

class Chosen {
  constructor(rule) {
    Object.assign(this, { rule, files: [], skips: [] });
    this.names = new Set();
  }

  // A file chosen on its own is sent whatever its name, unless it is a system file.
  add(file, path) {
    const [, ...inside] = path.split("/");
    const reason = skippedFor(inside.join("/") || path, this.rule);
    if (reason === "system" || (reason && inside.length)) this.skips.push({ name: path, reason });
    else this.files.push({ file, name: this.#free(path) });
  }

  unread(path) {
    this.skips.push({ name: path, reason: "unreadable" });
  }

  // Two folders with the same name may hold files with the same name.
  #free(path) {
    const [, stem, suffix] = /^(.*?)(\.[^./]*)?$/s.exec(path);
    let name = path;
    for (let nth = 2; this.names.has(name); nth++) name = `${stem} (${nth})${suffix ?? ""}`;
    this.names.add(name);
    return name;
  }
}

export function picked(list, rule) {
  const chosen = new Chosen(rule);
  for (const file of list) chosen.add(file, file.webkitRelativePath || file.name);
  return chosen;
}

// Entries must be taken from the event at once; they can be read later.
export async function dropped(transfer, rule) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return picked(transfer.files, rule);
  const chosen = new Chosen(rule);
  for (const entry of entries) await walk(entry, "", chosen);
  return chosen;
}

async function walk(entry, folder, chosen) {
  const path = folder + entry.name;
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => null);
    if (file) chosen.add(file, path);
    else chosen.unread(path);
    return;
  }
  const reader = entry.createReader();
  // A reader returns about a hundred entries at a time, and an empty list at the end.
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => null);
    if (!part) chosen.unread(path);
    if (!part?.length) return;
    for (const child of part) await walk(child, `${path}/`, chosen);
  }
}

// Returns one sentence per reason, naming the skipped files; empty if nothing is skipped.
export function skipWords(skips, rule) {
  return Object.entries(rule.reasons).map(([reason, words]) => {
    const names = skips.filter((skip) => skip.reason === reason).map((skip) => skip.name);
    const more = names.length > NAMED ? ` and ${(names.length - NAMED).toLocaleString("en")} more` : "";
    return names.length ? `Skipped, ${words}: ${names.slice(0, NAMED).join(", ")}${more}.` : "";
  }).filter(Boolean).join(" ");
}

export function folderOf(files) {
  const first = files[0]?.name.split("/") ?? [];
  const shared = first.length > 1 && files.every(({ name }) => name.startsWith(`${first[0]}/`));
  return shared ? first[0] : "";
}

const UNITS = ["bytes", "kB", "MB", "GB"];

export function filesize(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) [bytes, unit] = [bytes / 1024, unit + 1];
  return `${bytes.toFixed(unit && bytes < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

export function kinds(files) {
  const counts = new Map();
  for (const { name } of files) {
    const kind = /\.([a-z0-9]{1,5})$/i.exec(name)?.[1].toUpperCase().replace("JPEG", "JPG") ?? "other";
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4)
    .map(([kind, count]) => `${kind} ${count.toLocaleString("en")}`).join(", ");
}

// Connects a drop area and both pickers to one listener, which gets the files to send and the files
// to skip. A drop anywhere on the page counts.
export function listen(area, filePicker, folderPicker, folderButton, rule, taken) {
  const over = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    area.classList.toggle("over", event.type !== "dragleave");
  };
  for (const kind of ["dragenter", "dragover", "dragleave"]) document.addEventListener(kind, over);
  document.addEventListener("drop", async (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    area.classList.remove("over");
    const { files, skips } = await dropped(event.dataTransfer, rule);
    taken(files, skips);
  });
  for (const picker of [filePicker, folderPicker]) {
    picker.addEventListener("change", () => {
      const { files, skips } = picked(picker.files, rule);
      taken(files, skips);
      if (picker === folderPicker) picker.value = "";
    });
  }
  folderButton.addEventListener("click", () => folderPicker.click());
}
