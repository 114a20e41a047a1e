/** What a model brings, one element for each value: images, other files, texts, and anything else as JSON. */

import { button, make, shownAddress } from "./dom.js";
import { signatureLine } from "./signature.js";

const IMAGES = /\.(png|jpe?g|jfif|webp|gif|avif|svg|bmp)$/i;
const ADDRESS = /^(https?:\/\/|data:)/i;

/** The output as a list of what is shown: one text for one in parts. */
export function listValues(output, kind) {
  if (output === null || output === undefined) return [];
  if (kind.text && Array.isArray(output)) return output.length ? [output.join("")] : [];
  return [output].flat();
}

export const isImage = (value) => isFile(value) && (/^data:image\//.test(value) || IMAGES.test(pathOf(value)) || !/\.\w{1,12}$/.test(pathOf(value)));
export const isFile = (value) => typeof value === "string" && ADDRESS.test(value);

function pathOf(url) {
  return url.startsWith("data:") ? "" : url.split(/[?#]/)[0].split("/").pop();
}

/** `texts`: what is no file is a text even if it reads like an address. `use(url, name)` where an image can be an input. */
export function valueElement(value, { k, alt, seed, api, use, words }) {
  if (typeof value !== "string") return make("pre", { className: "text", tabIndex: 0, textContent: JSON.stringify(value, null, 2) });
  if (words || !isFile(value)) return textElement(value);
  const address = shownAddress(value, api);
  if (!address && !value.startsWith("data:")) return make("p", { className: "text", textContent: value });
  const name = fileName(value, k);
  const download = make("a", { href: address ?? value, download: name, className: "button small", textContent: "Download" });
  download.setAttribute("aria-label", `Download ${name}`);
  if (!isImage(value)) return make("figure", { className: "file" }, make("figcaption", {}, make("span", { className: "facts", textContent: name }), download));
  const size = make("span", { className: "muted" });
  const image = make("img", { alt });
  image.onload = () => {
    size.textContent = `${image.naturalWidth} × ${image.naturalHeight}`;
    facts.append(signatureLine(address));
  };
  image.onerror = () => (size.textContent = "It cannot be shown: outputs are removed some time after their run.");
  image.src = address;
  const again = use && button("Use as input", () => use(value, name));
  const facts = make("span", { className: "facts" }, seed === undefined ? null : make("span", { textContent: `seed ${seed}` }), size);
  return make("figure", {}, image, make("figcaption", {}, facts, make("span", { className: "row" }, download, again)));
}

function textElement(value) {
  const text = make("div", { className: "text", textContent: value });
  text.tabIndex = 0;
  text.setAttribute("role", "region");
  text.setAttribute("aria-label", "Output");
  return text;
}

export function fileName(url, k) {
  const [, kind] = /^data:\w+\/([\w-]+)/.exec(url) ?? [];
  if (kind) return `output.${k}.${kind.replace("jpeg", "jpg")}`;
  const last = pathOf(url);
  try {
    return decodeURIComponent(last) || `output.${k}`;
  } catch {
    return last;
  }
}

/** A value of an input as one line. */
export function shorten(value) {
  if (value?.name) return value.name;
  if (Array.isArray(value)) return value.map(shorten).join(", ");
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? "";
  if (/^https?:\/\/\S+\/delivery\/\S+$/.test(text)) return fileName(text, 0);
  return text.startsWith("data:") ? `${text.slice(0, text.indexOf(",") + 1)}… (${Math.round((text.length * 3) / 4000)} kB)` : text;
}
