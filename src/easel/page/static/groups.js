/** The form's inputs in groups that fold, by what their names say. */

import { make } from "./dom.js";

const FEW = 8; // So many inputs need no groups.
const MORE = "More";

// The first that fits has the input.
const NAMES = [
  ["LoRA", /lora|^(hf|huggingface|civitai)_|^replicate_weights$/],
  ["Files", /^output_(format|quality)$|format|quality|safety|compression|webhook/],
  ["From an image", /image(?!s?_(size|width|height|count)|s$)|^(mask|photo|picture|video|control|ip_adapter)(_|$)|_mask$|(^|_)strength$/],
  ["Size", /aspect_ratio|resolution|megapixels|^(width|height|size|scale|upscale)$|_(width|height|size)$/],
  ["Sampling", /steps|guidance|^cfg|_cfg|seed|scheduler|sampler|go_fast|^(fast|speed)|temperature|^top_[pk]$|penalty|^(num|n)_|^(max|min)_(new_)?(tokens|length)|stop/],
];
const WORDS = /prompt(?!_strength)|^(text|message|messages|question|instruction|instructions|query|input|style)$|^num_(outputs|images)$/;

/** [[title, inputs]] in the order of use; one without a title where there is nothing to fold. `draws`: its files are images. */
export function groupInputs(inputs, draws) {
  if (inputs.length < FEW) return [["", inputs]];
  const first = draws ? "What to draw" : "Prompt";
  const titles = [first, "From an image", "Size", "Sampling", "LoRA", "Files", MORE];
  const found = new Map(titles.map((title) => [title, []]));
  for (const input of inputs) found.get(groupOf(input, first)).push(input);
  const filled = [...found].filter(([, members]) => members.length);
  return filled.length === 1 ? [["", inputs]] : filled;
}

function groupOf(input, first) {
  if (input.required || WORDS.test(input.name)) return first;
  return NAMES.find(([, pattern]) => pattern.test(input.name))?.[0] ?? MORE;
}

/** {element, body, update(given)}: `update` tells which of its inputs are set, for when it is folded. */
export function makeGroup(title, members, open) {
  if (!title) {
    const body = make("div", { className: "group-body" });
    return { element: body, body, update: () => {} };
  }
  const told = make("span", { className: "told muted" });
  const body = make("div", { className: "group-body" });
  const summary = make("summary", {}, make("span", { className: "group-title", textContent: title }), told);
  const element = make("details", { className: "group", open }, summary, body);
  const names = members.map((input) => input.name);
  const update = (given) => {
    const set = names.filter((name) => name in given);
    told.textContent = set.length ? `${set.join(", ")}: set` : names.join(", ");
    told.classList.toggle("is-set", set.length > 0);
  };
  return { element, body, update };
}
