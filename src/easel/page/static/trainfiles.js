/** The images of a training: a folder, files or an archive, dropped or chosen. What is no archive is put into one here. */

import { button, formatBytes, make, plural } from "./dom.js";
import { zip } from "./zip.js";

const MAX_BYTES = 99e6; // an API takes a file of 100 MB, in which the archive's names are
const MAX_FILES = 2000; // 1,000 images, each with a caption
const ARCHIVE = /\.(zip|tar|tgz|tbz2?|txz|tar\.(gz|bz2|xz))$/i;

export function archiveControl(input, id, change) {
  let archive; // {blob, name}
  let turn = {}; // of the choice that came last
  const files = make("input", { type: "file", hidden: true, multiple: true, accept: "image/*,.txt,.zip,.tar,.tgz,.gz,.bz2,.xz" });
  const folder = make("input", { type: "file", hidden: true, webkitdirectory: true });
  const caption = make("p", { className: "caption", role: "status" });
  const error = make("p", { className: "error", role: "alert", hidden: true });
  const choose = button("Choose a folder", () => folder.click(), { id });
  const chooseFiles = button("Choose files or a zip", () => files.click());
  const clear = button("Remove", () => {
    set(undefined);
    choose.focus();
    change();
  }, { hidden: true, "aria-label": `Remove ${input.name}` });
  const row = make("div", { className: "row" }, choose, chooseFiles, make("span", { className: "or muted", textContent: "or drop them here" }), clear);
  const zone = make("div", { className: "drop", role: "group" }, make("div", { className: "drop-parts" }, row, caption, error), files, folder);

  function set(value, text = "") {
    turn = {};
    archive = value?.blob ? value : undefined;
    caption.textContent = archive ? text || `${archive.name}, ${formatBytes(archive.blob.size)}` : "";
    error.hidden = true;
    clear.hidden = !archive;
  }
  /** `list` is a promise of [{name, blob}]. */
  async function take(list) {
    set(undefined);
    const mine = turn;
    caption.textContent = "Reading the files";
    try {
      const { packed, text } = await pack(await list);
      if (mine === turn) set(packed, text);
    } catch (problem) {
      if (mine !== turn) return;
      set(undefined);
      error.textContent = problem.message;
      error.hidden = false;
    }
    change();
  }
  for (const picker of [files, folder]) {
    picker.onchange = () => {
      if (picker.files.length) take([...picker.files].map((blob) => ({ blob, name: blob.webkitRelativePath || blob.name })));
      picker.value = "";
    };
  }
  zone.ondragover = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const { items, files: dropped } = event.dataTransfer;
    const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean); // gone after this event
    if (entries.length) take(readEntries(entries));
    else if (dropped.length) take([...dropped].map((blob) => ({ blob, name: blob.name })));
  };
  return { element: zone, target: choose, group: true, get: () => archive, set: (value) => set(value) };
}

/** {packed, text} of the files. Raises an Error that says why they cannot be taken. */
async function pack(list) {
  const kept = list.filter(({ name }) => !name.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"));
  if (!kept.length) throw new Error("There is no file in it. Choose a folder of images.");
  const size = kept.reduce((sum, { blob }) => sum + blob.size, 0);
  if (size > MAX_BYTES) throw new Error(`The files have ${formatBytes(size)}, and an API takes ${formatBytes(MAX_BYTES)} at once. Make the images smaller: none is trained at more than about 1,000 pixels.`);
  const archives = kept.filter(({ name }) => ARCHIVE.test(name));
  if (archives.length && kept.length > 1) throw new Error(`${archives[0].name} is an archive beside other files. Choose one archive, or images alone.`);
  if (archives.length) return { packed: kept[0] };
  tooMany(kept.length);
  const sorted = kept.sort((one, other) => (one.name < other.name ? -1 : 1));
  const blob = await zip(sorted).catch(() => {
    throw new Error("A file cannot be read any more. Choose them again.");
  });
  return { packed: { blob, name: "images.zip" }, text: `${plural(kept.length, "file")}, ${formatBytes(size)}` };
}

function tooMany(count) {
  if (count > MAX_FILES) throw new Error(`There are more than ${MAX_FILES} files: a training takes at most 1,000 images, each with a caption. Choose a folder of the images alone.`);
}

/** The files of what was dropped, with those of its folders. */
async function readEntries(entries) {
  const found = [];
  const waiting = [...entries];
  while (waiting.length) {
    const entry = waiting.shift();
    if (entry.name.startsWith(".")) continue;
    if (entry.isDirectory) {
      const reader = entry.createReader();
      for (let batch = await ask(reader, "readEntries"); batch.length; batch = await ask(reader, "readEntries")) {
        waiting.push(...batch); // browsers give up to 100 at once
        tooMany(found.length + waiting.length);
      }
    } else found.push({ blob: await ask(entry, "file"), name: entry.fullPath.replace(/^\//, "") });
  }
  return found;
}

const ask = (entry, what) =>
  new Promise((resolve, reject) => entry[what](resolve, () => reject(new Error(`${entry.name ?? "The folder"} cannot be read. Choose the files instead.`))));
