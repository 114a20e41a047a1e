/** What the check says of a training's images: each as it is cropped and captioned, and what is left out. */

import { call } from "./api.js";
import { button, make } from "./dom.js";

const AT_FIRST = 48; // images shown before all are asked for
const ASKED = ["trigger_word", "caption_prefix", "caption_suffix", "resolution"];

/** The inputs that the report depends on, of a training's form. */
export const askedOf = (form) => Object.fromEntries(ASKED.filter((name) => form.fields.has(name) && form.value(name) !== undefined).map((name) => [name, String(form.value(name))]));

export class Check {
  /** `model` is OWNER/NAME. */
  constructor(model) {
    this.model = model;
    this.status = make("p", { role: "status", className: "check-status" });
    this.body = make("div");
    this.element = make("section", { className: "check", "aria-label": "Check of the images", hidden: true }, make("h2", { textContent: "Images" }), this.status, this.body);
  }

  clear() {
    this.turn = {};
    this.element.hidden = true;
    this.body.replaceChildren();
  }

  /** True if the images can be trained on, undefined if newer ones came. Raises Problem with why they cannot. */
  async run({ blob }, asked) {
    const turn = (this.turn = {});
    this.element.hidden = false;
    this.status.textContent = "Checking the images";
    this.body.replaceChildren();
    try {
      const query = new URLSearchParams({ model: this.model.split("/")[1], ...asked });
      const report = await call("POST", `/page/dataset?${query}`, blob);
      if (turn !== this.turn) return undefined;
      this.show(report);
      return true;
    } catch (problem) {
      if (turn !== this.turn) return undefined;
      this.element.hidden = true;
      throw problem;
    }
  }

  show({ summary, images, problems, duplicates }) {
    this.status.textContent = summary;
    const faults = [...problems.map(({ name, fault }) => [name, fault]), ...duplicates.map((one) => [one.name, `the same pixels as ${one.same_as}`])];
    const rows = faults.map(([name, fault]) => make("li", {}, make("strong", { textContent: name }), `: ${fault}`));
    const list = make("ul", { className: "check-images" }, ...images.slice(0, AT_FIRST).map(cell));
    const more = images.length > AT_FIRST && button(`Show all ${images.length}`, () => {
      list.append(...images.slice(AT_FIRST).map(cell));
      list.children[AT_FIRST].tabIndex = -1;
      list.children[AT_FIRST].focus();
      more.remove();
    });
    const left = rows.length ? [make("h3", { textContent: "Left out" }), make("ul", { className: "check-faults" }, ...rows)] : [];
    const hint = make("p", { className: "hint", textContent: "What is dark is cut off. Below each image: its size, the size it is trained at, its caption." });
    this.body.replaceChildren(...left, hint, list, ...(more ? [more] : []));
  }
}

function cell({ name, thumbnail, size, bucket, caption, notes }) {
  const facts = make("span", { className: "muted", textContent: `${size.join(" × ")} → ${bucket.join(" × ")}` });
  const odd = notes.map((note) => make("span", { className: "note", textContent: note }));
  const text = [make("span", { className: "file-name", textContent: name }), facts, make("span", { textContent: caption }), ...odd];
  return make("li", {}, make("img", { src: thumbnail, alt: "", loading: "lazy" }), ...text);
}
