/** Examples to start from: a model's own, each a whole prediction. */

import { byId, make, shownAddress } from "./dom.js";
import { isImage, listValues } from "./values.js";

/** Of `examples` those whose inputs are all among `names`: one of another model, or of another version, fits no form. */
export function fitting(examples, names) {
  return examples.filter((example) => Object.keys(example.input ?? {}).every((name) => names.has(name)));
}

export function showExamples(examples, kind, api, choose) {
  const items = examples.map((example) => {
    const input = example.input ?? {};
    const [first] = Object.values(input).filter((value) => typeof value === "string");
    const label = String(input.prompt ?? first ?? example.id);
    const others = Object.keys(input).filter((name) => name !== "prompt" && name !== "seed");
    const values = listValues(example.output, kind);
    const image = values.find(isImage);
    const address = image && shownAddress(image, api);
    const shown = address
      ? make("img", { src: address, alt: "", loading: "lazy" })
      : make("span", { className: "excerpt", textContent: values.filter((one) => typeof one === "string").join(" ").slice(0, 160) });
    const card = make(
      "button",
      { type: "button", className: "card", onclick: () => choose(example) },
      shown,
      make("span", { className: "title", textContent: label }),
      make("span", { className: "muted", textContent: others.join(", ") }),
    );
    return make("li", {}, card);
  });
  byId("example-list").replaceChildren(...items);
  byId("examples").hidden = !items.length;
}
