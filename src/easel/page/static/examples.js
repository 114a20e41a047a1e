/** Examples to start from: the repository's samples, each with its picture. */

import { byId, make } from "./dom.js";

export function showExamples(examples, choose) {
  const items = examples.map((example) => {
    const label = example.input.prompt ?? example.name;
    const others = Object.keys(example.input).filter((name) => name !== "prompt" && name !== "seed");
    const card = make(
      "button",
      { type: "button", className: "card", onclick: () => choose(example) },
      make("img", { src: example.output[0], alt: "", loading: "lazy" }),
      make("span", { className: "title", textContent: label }),
      make("span", { className: "muted", textContent: others.join(", ") }),
    );
    return make("li", {}, card);
  });
  byId("example-list").replaceChildren(...items);
  byId("examples").hidden = !items.length;
}

/** An example's input with its files fetched: {blob, name} as the form holds one. */
export async function fetchFiles(value) {
  if (Array.isArray(value)) return Promise.all(value.map(fetchFiles));
  if (!value?.file) return value;
  return fetchFile(value.file, value.name);
}

export async function fetchFile(url, name) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${name} is not there any more.`);
  return { blob: await answer.blob(), name };
}
