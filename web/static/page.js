// What every page does: shows exact times in the reader's time zone, asks before irreversible actions,
// copies secrets.

export function localTimes(root = document) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  getSelection().selectAllChildren(source);
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  }
});

localTimes();
