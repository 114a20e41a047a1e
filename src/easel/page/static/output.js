/** What a run brings: its state, progress and logs while it lasts, then its pictures and what they were made of. */

import { button, byId, make, plural, shownAddress } from "./dom.js";
import { readLogs } from "./logs.js";

const WORDS = {
  sending: "Sending",
  starting: "Waiting for the model",
  processing: "Running",
  succeeded: "Done",
  failed: "Failed",
  refused: "Not run",
  canceled: "Canceled",
  aborted: "Canceled",
};

export class Output {
  /** `useAsInput(url)` and `restore(input)` act on the form. `api` is the API's address. */
  constructor(api, useAsInput, restore) {
    this.api = api;
    this.useAsInput = useAsInput;
    byId("again").onclick = () => restore(this.input);
  }

  clear() {
    for (const id of ["pictures", "alert", "parameter-list"]) byId(id).replaceChildren();
    for (const id of ["parameters", "logs", "run-state"]) byId(id).hidden = true;
    byId("log-text").textContent = "";
  }

  begin() {
    this.clear();
    byId("run-state").hidden = byId("progress-row").hidden = false;
    byId("progress").removeAttribute("value");
    byId("progress-text").textContent = "";
    byId("result").setAttribute("aria-busy", "true");
    this.began = performance.now();
    this.clock = setInterval(() => this.tick(), 100);
    this.tick();
  }

  tick() {
    byId("time").textContent = `${((performance.now() - this.began) / 1000).toFixed(1)} s`;
  }

  show({ status, logs }) {
    this.say(status, WORDS[status] ?? status);
    if (!logs) return;
    const { text, progress } = readLogs(logs);
    const area = byId("log-text");
    const following = area.scrollTop + area.clientHeight >= area.scrollHeight - 8;
    area.textContent = text;
    if (following) area.scrollTop = area.scrollHeight;
    if (byId("logs").hidden) byId("logs").open = true;
    byId("logs").hidden = false;
    if (progress) {
      byId("progress").value = progress.percent;
      byId("progress-text").textContent = `${progress.done} of ${progress.total}`;
    }
  }

  say(status, text) {
    byId("dot").className = `dot ${status}`;
    if (byId("state").textContent !== text) byId("state").textContent = text;
  }

  end(status) {
    clearInterval(this.clock);
    this.tick();
    byId("progress-row").hidden = true;
    byId("result").removeAttribute("aria-busy");
    this.say(status, WORDS[status] ?? status);
  }

  fail(text) {
    byId("alert").replaceChildren(make("p", { textContent: text }));
  }

  /** Pictures with what can be done with them. `prediction` has input and output, and metrics if it was run. */
  reveal(prediction) {
    const urls = [prediction.output ?? []].flat();
    const seeds = prediction.metrics?.seeds ?? [];
    byId("alert").replaceChildren();
    byId("pictures").replaceChildren(...urls.map((url, k) => this.picture(url, k, prediction.input, seeds[k])));
    byId("pictures").classList.toggle("many", urls.length > 1);
    this.listParameters(prediction);
    if (prediction.logs) byId("logs").open = false;
    return urls.length;
  }

  picture(url, k, input, seed) {
    if (typeof url !== "string") return make("pre", { textContent: JSON.stringify(url, null, 2) });
    const address = shownAddress(url, this.api);
    if (!address) return make("p", { textContent: url });
    const name = fileName(url, k);
    const image = make("img", { src: address, alt: String(input?.prompt ?? `Output ${k + 1}`) });
    const size = make("span", { className: "muted" });
    const show = () => (size.textContent = `${image.naturalWidth} × ${image.naturalHeight}`);
    image.onload = show;
    image.onerror = () => (size.textContent = "It cannot be shown: outputs are removed an hour after their run.");
    const download = make("a", { href: address, download: name, className: "button small", textContent: "Download" });
    download.setAttribute("aria-label", `Download ${name}`);
    const use = this.useAsInput && button("Use as input", () => this.useAsInput(url, name));
    const facts = make("span", { className: "facts" }, seed === undefined ? null : make("span", { textContent: `seed ${seed}` }), size);
    return make("figure", {}, image, make("figcaption", {}, facts, make("span", { className: "row" }, download, use)));
  }

  listParameters({ input, metrics, version, id }) {
    this.input = input;
    const rows = Object.entries(input ?? {}).map(([name, value]) => [name, shorten(value)]);
    if (metrics?.seeds && input.seed === undefined) rows.push(["seed (drawn)", String(metrics.seeds[0])]);
    if (metrics?.predict_time) rows.push(["time of the model", `${metrics.predict_time.toFixed(2)} s`]);
    if (metrics?.total_time) rows.push(["time in all", `${metrics.total_time.toFixed(2)} s`]);
    if (version) rows.push(["version", version]);
    if (id) rows.push(["prediction", id]);
    const parts = rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]);
    byId("parameter-list").replaceChildren(...parts);
    byId("parameters").hidden = !rows.length;
  }
}

export function summary(count, prediction) {
  const time = prediction.metrics?.predict_time;
  return `Done: ${plural(count, "file")}${time ? ` in ${time.toFixed(1)} s` : ""}`;
}

function fileName(url, k) {
  const [, kind] = /^data:image\/(\w+)/.exec(url) ?? [];
  if (kind) return `output.${k}.${kind.replace("jpeg", "jpg")}`;
  return decodeURIComponent(url.split(/[?#]/)[0].split("/").pop()) || `output.${k}`;
}

function shorten(value) {
  if (value?.name) return value.name;
  if (Array.isArray(value)) return value.map(shorten).join(", ");
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.startsWith("data:") ? `${text.slice(0, text.indexOf(",") + 1)}… (${Math.round((text.length * 3) / 4000)} kB)` : text;
}
