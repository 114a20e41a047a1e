/** The validation images of a training, which Easel's trainer tells of in a metric: a row that grows while it runs. */

import { make, shownAddress } from "./dom.js";

const METRIC = "easel_validation_images";
const MOST = 12;

/** [{step, address}] up to the first that is none; the metrics of other trainers have none. */
export function readImages(metrics, api) {
  const told = metrics?.[METRIC];
  const found = [];
  for (const one of Array.isArray(told) ? told.slice(0, MOST) : []) {
    const address = typeof one?.image === "string" && shownAddress(one.image, api);
    if (!Number.isInteger(one?.step) || !address) break;
    found.push({ step: one.step, address });
  }
  return found;
}

/** {element, clear(), show(images, total, prompt)}: hidden until there is an image; what is shown already stays. */
export function imageRow() {
  const list = make("ol", { className: "validation-images" });
  const caption = make("h3", { textContent: "Validation images", id: "validation-title" });
  const element = make("section", { hidden: true, "aria-labelledby": "validation-title" }, caption, list);

  function show(images, total, prompt) {
    for (const { step, address } of images.slice(list.childElementCount)) {
      const image = make("img", { src: address, alt: prompt ? `“${prompt}” at step ${step}` : `Image at step ${step}` });
      image.onerror = () => image.replaceWith(make("span", { className: "gone muted", textContent: "not there any more" }));
      list.append(make("li", {}, image, make("span")));
    }
    for (const [k, { step }] of images.entries()) list.children[k].lastChild.textContent = total ? `Step ${step} of ${total}` : `Step ${step}`;
    element.hidden = !list.childElementCount;
  }
  function clear() {
    list.replaceChildren();
    element.hidden = true;
  }
  return { element, clear, show };
}
