/** What a run brings: its state, progress and logs while it lasts, then its images and what they were made of. */

import { runPath } from "./address.js";
import { button, byId, formatSeconds, make, plural } from "./dom.js";
import { readLogs } from "./logs.js";
import { isFile, listValues, shorten, valueElement } from "./values.js";

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
  /** `useAsInput(url)` and `restore(input)` act on the form. `api` is the API's address, `kind` what readOutput tells. */
  constructor(api, kind, useAsInput, restore) {
    this.api = api;
    this.kind = kind;
    this.words = kind.text || kind.kind === "texts"; // where an address is a text like any other
    this.useAsInput = useAsInput;
    this.shown = []; // the values whose elements are there
    byId("again").onclick = () => restore(this.input);
  }

  clear() {
    for (const id of ["images", "alert", "parameter-list"]) byId(id).replaceChildren();
    for (const id of ["parameters", "logs", "run-state"]) byId(id).hidden = true;
    byId("log-text").textContent = "";
    byId("parameters").open = byId("logs").open = false;
    this.shown = [];
  }

  /** `since`: so many ms ago. */
  begin(since = 0) {
    this.clear();
    byId("run-state").hidden = byId("progress-row").hidden = false;
    byId("progress").removeAttribute("value");
    byId("progress-text").textContent = "";
    byId("result").setAttribute("aria-busy", "true");
    this.began = performance.now() - since;
    this.clock = setInterval(() => this.tick(), 100);
    this.tick();
  }

  tick() {
    byId("time").textContent = formatSeconds((performance.now() - this.began) / 1000);
  }

  show(prediction) {
    this.print_status(prediction.status, WORDS[prediction.status] ?? prediction.status);
    this.showValues(prediction);
    this.showLogs(prediction.logs);
  }

  showLogs(logs) {
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

  print_status(status, text) {
    byId("dot").className = `dot ${status}`;
    if (byId("state").textContent !== text) byId("state").textContent = text;
  }

  /** Time and progress stand still. */
  stop() {
    clearInterval(this.clock);
    this.clock = undefined;
    byId("progress-row").hidden = true;
    byId("result").removeAttribute("aria-busy");
  }

  /** `prediction` if one of the past is shown, whose time is known. */
  end(status, prediction) {
    if (byId("run-state").hidden) {
      const { total_time: all, predict_time: model } = prediction?.metrics ?? {};
      const time = all ?? model;
      byId("time").textContent = time === undefined ? "" : formatSeconds(time);
      byId("run-state").hidden = false;
    } else if (this.clock) this.tick();
    this.stop();
    this.print_status(status, WORDS[status] ?? status);
  }

  fail(text) {
    byId("alert").replaceChildren(make("p", { textContent: text }));
  }

  /** What has come so far; what is shown already stays as it is. */
  showValues({ output, input, metrics }) {
    const values = listValues(output, this.kind);
    const seeds = metrics?.seeds ?? [];
    const container = byId("images");
    for (const [k, value] of values.entries()) {
      const shown = container.children[k];
      if (shown && JSON.stringify(this.shown[k]) === JSON.stringify([value, seeds[k]])) continue;
      this.shown[k] = [value, seeds[k]];
      if (shown?.classList.contains("text") && typeof value === "string" && !isFile(value)) {
        shown.textContent = value;
        continue;
      }
      const alt = String(input?.prompt ?? `Output ${k + 1}`);
      const element = valueElement(value, { k, alt, seed: seeds[k], api: this.api, use: this.useAsInput, words: this.words });
      if (shown) shown.replaceWith(element);
      else container.append(element);
    }
    while (container.childElementCount > values.length) container.lastChild.remove();
    this.shown.length = values.length;
    container.classList.toggle("many", values.length > 1 && !this.words && values.every(isFile));
    container.classList.toggle("texts", values.length > 1 && (this.words || !values.some(isFile)));
    return values;
  }

  /** All of a prediction at its end: files or text with what can be done with them. `input` is what was sent. */
  reveal(prediction) {
    const values = this.showValues(prediction);
    if (this.kind.text && values.length) this.offerCopy(values[0]);
    this.listParameters(prediction);
    if (prediction.logs) byId("logs").open = false;
    return values;
  }

  offerCopy(text) {
    const copy = button("Copy the text", async () => {
      await navigator.clipboard.writeText(text).then(() => (copy.textContent = "Copied"), () => getSelection().selectAllChildren(byId("images").firstChild));
    });
    byId("images").append(make("p", {}, copy));
  }

  listParameters({ input, metrics, version, id, created_at: created, status }) {
    this.input = input;
    const rows = Object.entries(input ?? {}).map(([name, value]) => [name, shorten(value)]);
    const { seeds, predict_time: model, total_time: all, ...others } = metrics ?? {};
    if (seeds && input?.seed === undefined) rows.push(["seed (drawn)", String(seeds[0])]);
    if (model !== undefined) rows.push(["time of the model", `${model.toFixed(2)} s`]);
    if (all !== undefined) rows.push(["time in all", `${all.toFixed(2)} s`]);
    const plain = Object.entries(others).filter(([, value]) => typeof value !== "object");
    rows.push(...plain.map(([name, value]) => [name, shorten(value)]));
    if (created && status) rows.push(["made", new Date(created).toLocaleString()]);
    if (version) rows.push(["version", version]);
    if (id) rows.push(["prediction", id]);
    const parts = rows.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]);
    byId("parameter-list").replaceChildren(...parts);
    byId("parameters").hidden = !rows.length;
    byId("again").hidden = !Object.keys(input ?? {}).length;
    byId("run-link").hidden = !id;
    if (id) byId("run-link").href = runPath(id);
  }

  /** A success in a few words. */
  summarize(values, prediction) {
    const time = prediction.metrics?.predict_time;
    const files = this.words ? 0 : values.filter(isFile).length;
    const done = files ? `Done: ${plural(files, "file")}` : values.length ? "Done" : "Done, without an output";
    this.print_status("succeeded", `${done}${time ? ` in ${formatSeconds(time)}` : ""}`);
  }
}
