/** The API tab: the programs, each with a button that copies it, and the schema. */

import { button, byId, make } from "./dom.js";
import { filesIn, LANGUAGES, preparation } from "./snippets.js";
import { NO_STREAM, STREAM_NOTE, WAYS, WEBHOOK_NOTE } from "./ways.js";

const FILES = { python: "easel.py", javascript: "easel.mjs", curl: "Shell" };
const NOTES = { Webhook: WEBHOOK_NOTE, Streaming: STREAM_NOTE };

/** `context` as snippets.js has it, with the version's `schema`; what is returned writes for what the form holds. */
export function makeCode(context) {
  const blocks = [];
  for (const [language, write] of Object.entries(LANGUAGES)) {
    const first = block("Once", `What comes first, for ${language}`, preparation(language, context));
    const main = block(FILES[language], `Program in ${language}`, "");
    blocks.push([main, write]);
    const others = WAYS[language].map(([title, note, writeWay]) => {
      if (title === "Streaming" && !context.output.yields) return fold(title, NO_STREAM);
      const code = block(FILES[language], `${title} in ${language}`, "");
      blocks.push([code, writeWay]);
      return fold(title, NOTES[title] ?? note, code.element);
    });
    byId(`panel-${language}`).replaceChildren(first.element, main.element, ...others);
  }
  showSchema(context.schema);
  return (given) => {
    for (const [code, write] of blocks) code.set(write(given, context));
    const names = filesIn(given);
    byId("files-note").textContent = names.length ? `It reads ${names.join(" and ")} from the current folder.` : "";
  };
}

const fold = (title, note, ...parts) =>
  make("details", { className: "more" }, make("summary", { textContent: title }), make("p", { className: "muted way-note", textContent: note }), ...parts);

/** The input's and the output's part with all that they name. */
function showSchema(document) {
  const { Input: input = {}, Output: output = {}, ...others } = document?.components?.schemas ?? {};
  const named = Object.fromEntries(Object.entries(others).filter(([name]) => JSON.stringify(input).includes(`"#/components/schemas/${name}"`)));
  const parts = [["Input", input], ["Output", output], ...(Object.keys(named).length ? [["What the input names", named]] : [])];
  byId("panel-schema").replaceChildren(...parts.map(([title, part]) => block(title, `Schema: ${title}`, JSON.stringify(part, null, 2)).element));
}

function block(title, label, text) {
  const code = make("code", { textContent: text });
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "Selected";
    }
    setTimeout(() => (copy.textContent = "Copy"), 1500);
  }, { "aria-label": `Copy: ${label}` });
  const area = make("pre", { tabindex: 0, "aria-label": label, role: "region" }, code);
  area.tabIndex = 0;
  const head = make("div", { className: "code-head" }, make("span", { className: "muted", textContent: title }), copy);
  return { element: make("div", { className: "code-block" }, head, area), set: (value) => (code.textContent = value) };
}
