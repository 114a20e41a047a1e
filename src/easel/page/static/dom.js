/** Elements: made in one expression, found by id. Text is always set as text, never as HTML. */

export const byId = (id) => document.getElementById(id);

/** `properties` are those of the element; `aria-…`, `data-…` and `role` become attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for" || name === "list") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

export const button = (text, onclick, properties = {}) =>
  make("button", { type: "button", className: "small", textContent: text, onclick, ...properties });

export function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

export function formatBytes(count) {
  return count < 1000 ? `${count} B` : count < 1e6 ? `${Math.round(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

export function formatSeconds(seconds) {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${(seconds / 3600).toFixed(1)} h`;
}

/** Where this page can show the image at `url` from: null where it cannot. */
export function shownAddress(url, api) {
  if (/^(data:image\/|blob:|\/)/.test(url)) return url;
  if (url.startsWith(`${api}/`) || /^https:\/\/([\w-]+\.)*replicate\.delivery\//.test(url)) {
    return `/page/output?url=${encodeURIComponent(url)}`;
  }
  return url.startsWith("https://") ? url : null;
}

const DICE = "M6 3h12a3 3 0 0 1 3 3v12a3 3 0 0 1-3 3H6a3 3 0 0 1-3-3V6a3 3 0 0 1 3-3Z M8 8h.01 M16 8h.01 M12 12h.01 M8 16h.01 M16 16h.01";

/** A drawing rather than an emoji, which not every system has. */
export function diceIcon() {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  for (const [name, value] of [["viewBox", "0 0 24 24"], ["aria-hidden", "true"], ["class", "icon"]]) icon.setAttribute(name, value);
  path.setAttribute("d", DICE);
  icon.append(path);
  return icon;
}
