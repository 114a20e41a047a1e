/** The API tab: the three programs, each with a button that copies it. */

import { button, byId, make } from "./dom.js";
import { filesIn, LANGUAGES, preparation } from "./snippets.js";

const FILES = { python: "easel.py", javascript: "easel.mjs", curl: "Shell" };

export function makeCode(context) {
  const texts = {};
  for (const language of Object.keys(LANGUAGES)) {
    const first = block("Once", `What comes first, for ${language}`, preparation(language, context));
    texts[language] = block(FILES[language], `Program in ${language}`, "");
    byId(`panel-${language}`).replaceChildren(first.element, texts[language].element);
  }
  return (given) => {
    for (const [language, write] of Object.entries(LANGUAGES)) texts[language].set(write(given, context));
    const names = filesIn(given);
    byId("files-note").textContent = names.length ? `It reads ${names.join(" and ")} from the current folder.` : "";
  };
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
