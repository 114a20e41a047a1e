/** A list as rows that can be added and removed. A row of text can hold a file instead. */

import { button, formatBytes, make } from "./dom.js";

export function listControl(input, id, change) {
  const rows = make("div", { className: "rows" });
  const add = button(`Add ${input.name.replace(/_/g, " ")}`, () => {
    addRow();
    change();
    rows.lastChild.querySelector("input").focus();
  }, { id });
  const numeric = input.item.kind === "number";

  function addRow(value) {
    const count = rows.childElementCount + 1;
    const text = make("input", { type: "text", spellcheck: false, oninput: change, "aria-label": `${input.name} ${count}` });
    text.inputMode = numeric ? "decimal" : "text";
    text.autocomplete = "off";
    const row = make("div", { className: "row" }, text);
    row.read = () => row.file ?? parse(text.value.trim(), numeric);
    if (!numeric) row.append(...fileParts(row, text, change, count));
    row.append(
      button("Remove", () => {
        row.remove();
        renumber();
        add.focus();
        change();
      }, { "aria-label": `Remove ${input.name} ${count}` }),
    );
    rows.append(row);
    if (value?.blob) row.hold(value);
    else text.value = value ?? "";
  }

  function renumber() {
    for (const [k, row] of [...rows.children].entries()) {
      row.querySelector("input").setAttribute("aria-label", `${input.name} ${k + 1}`);
      row.lastChild.setAttribute("aria-label", `Remove ${input.name} ${k + 1}`);
    }
  }

  return {
    element: make("div", { className: "list", role: "group" }, rows, add),
    target: add,
    group: true,
    get: () => {
      const values = [...rows.children].map((row) => row.read()).filter((value) => value !== undefined);
      return values.length ? values : undefined;
    },
    set: (values) => {
      rows.replaceChildren();
      for (const value of values ?? input.default ?? []) addRow(value);
    },
  };
}

function parse(text, numeric) {
  if (text === "") return undefined;
  return numeric && Number.isFinite(Number(text)) ? Number(text) : text;
}

/** A button that takes a file, and the field that then names it. */
function fileParts(row, text, change, count) {
  const picker = make("input", { type: "file", hidden: true });
  row.hold = (file) => {
    row.file = file;
    text.value = file ? `${file.name} (${formatBytes(file.blob.size)})` : "";
    text.readOnly = Boolean(file);
    choose.textContent = file ? "Clear" : "File…";
  };
  picker.onchange = () => {
    const [blob] = picker.files;
    if (blob) row.hold({ blob, name: blob.name });
    picker.value = "";
    change();
  };
  const choose = button("File…", () => {
    if (!row.file) return picker.click();
    row.hold(undefined);
    change();
  }, { "aria-label": `File for row ${count}` });
  return [choose, picker];
}
