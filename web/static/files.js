// From what was dropped or picked to a list of {file, name}: name is the path within the folder.

const SYSTEM_FILES = new Set(["thumbs.db", "desktop.ini"]);

const belongs = (file) => !file.name.startsWith(".") && !SYSTEM_FILES.has(file.name.toLowerCase());

export function picked(list) {
  return [...list].filter(belongs).map((file) => ({ file, name: file.webkitRelativePath || file.name }));
}

// Entries must be taken from the event at once; reading them may take its time. What can't be read
// is counted: a folder must not lose files without a word.
export async function dropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return { files: picked(transfer.files), unread: 0 };
  const found = { files: [], unread: 0 };
  for (const entry of entries) await walk(entry, "", found);
  return found;
}

async function walk(entry, folder, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => null);
    if (!file) found.unread += belongs(entry) ? 1 : 0;
    else if (belongs(file)) found.files.push({ file, name: folder + file.name });
    return;
  }
  const reader = entry.createReader();
  // A reader hands out some hundred entries at a time, and an empty list at the end.
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => null);
    if (!part) found.unread++;
    if (!part?.length) return;
    for (const child of part) await walk(child, `${folder}${entry.name}/`, found);
  }
}

// The sentence about what could not be read, or an empty one.
export function unreadWords(count) {
  if (!count) return "";
  const what = count === 1 ? "1 file or folder" : `${count.toLocaleString("en")} files or folders`;
  return `${what} could not be read. Choose them again, or go on without them.`;
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

// Wire a drop area and both pickers to one listener, called with the files and with how many could
// not be read. A drag over the whole page counts.
export function listen(area, filePicker, folderPicker, folderButton, taken) {
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
    const { files, unread } = await dropped(event.dataTransfer);
    taken(files, unread);
  });
  for (const picker of [filePicker, folderPicker]) {
    picker.addEventListener("change", () => {
      taken(picked(picker.files), 0);
      if (picker === folderPicker) picker.value = "";
    });
  }
  folderButton.addEventListener("click", () => folderPicker.click());
}
