/** Runs that were made before, newest first: of this model or of all, with thumbnails. */

import { runPath } from "./address.js";
import { fetchPage } from "./api.js";
import { button, byId, make, shownAddress } from "./dom.js";
import { isImage, listValues } from "./values.js";

const PAGES = 5; // of all runs, looked through at a time for those of this model
const STATES = { succeeded: "", starting: "waiting", processing: "running" };

export class History {
  /** `open(prediction)` shows one of this model; those of others are links. `kind` is what readOutput tells. */
  constructor(model, api, kind, open) {
    Object.assign(this, { model, api, kind, open, mine: true });
    const choice = (text, mine) => {
      const radio = make("input", { type: "radio", name: "runs-of", checked: mine === this.mine, onchange: () => this.choose(mine) });
      return make("label", {}, radio, make("span", { textContent: text }));
    };
    const segments = make("div", { className: "segments", role: "radiogroup", "aria-label": "Runs of" }, choice("This model", true), choice("All models", false));
    this.list = make("ul", { className: "runs" });
    this.note = make("p", { className: "muted", role: "status" });
    this.more = button("Show more", () => this.load(), { hidden: true });
    byId("panel-history").replaceChildren(segments, this.list, this.note, this.more);
  }

  choose(mine) {
    this.mine = mine;
    this.refresh();
  }

  /** From the newest on; only when it is looked at. */
  refresh() {
    this.turn = (this.turn ?? 0) + 1;
    this.list.replaceChildren();
    this.cursor = undefined;
    return this.load();
  }

  async load() {
    const turn = this.turn;
    this.note.textContent = "Loading";
    this.more.hidden = true;
    try {
      let cursor = this.cursor;
      let added = 0;
      for (let k = 0; k < PAGES && !added; k++) {
        const page = await fetchPage("/v1/predictions", cursor);
        if (turn !== this.turn) return;
        const shown = page.results.filter((one) => !this.mine || one.model === this.model);
        this.list.append(...shown.map((one) => this.row(one)));
        added = shown.length;
        cursor = page.cursor;
        if (!cursor) break;
      }
      this.cursor = cursor;
      const none = this.mine ? "No runs of this model yet." : "No runs yet.";
      this.note.textContent = this.list.childElementCount ? "" : cursor ? "None among the newest runs." : none;
      this.more.hidden = !cursor;
    } catch (problem) {
      if (turn === this.turn) this.note.textContent = problem.message;
    }
  }

  row(prediction) {
    const { id, input, status, created_at: created, model, data_removed: removed } = prediction;
    const values = listValues(prediction.output, this.kind);
    const image = values.find(isImage);
    const address = image && shownAddress(image, this.api);
    const words = values.find((one) => typeof one === "string" && !isImage(one) && !/^(https?:|data:)/.test(one));
    const thumbnail = address
      ? make("img", { src: address, alt: "", loading: "lazy", className: "thumbnail" })
      : make("span", { className: "thumbnail words", textContent: removed ? "removed" : (words ?? STATES[status] ?? status).slice(0, 60) });
    if (address) thumbnail.onerror = () => thumbnail.replaceWith(make("span", { className: "thumbnail words", textContent: "removed" }));
    const title = describe(input) || (removed ? "Its input was removed" : "Without inputs");
    const when = created ? new Date(created).toLocaleString() : "";
    const facts = [STATES[status] ?? status, this.mine ? "" : model, when].filter(Boolean).join(" · ");
    const text = make("span", { className: "run-text" }, make("span", { className: "title", textContent: title }), make("span", { className: "muted", textContent: facts }));
    const link = make("a", { href: runPath(id), className: "run" }, thumbnail, text);
    if (model === this.model) {
      link.onclick = (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        this.open(prediction);
      };
    }
    return make("li", {}, link);
  }
}

function describe(input) {
  const prompt = input?.prompt ?? Object.values(input ?? {}).find((one) => typeof one === "string" && !/^(https?:|data:)/.test(one));
  return prompt === undefined ? Object.entries(input ?? {}).map(([name, value]) => `${name}: ${String(value).slice(0, 40)}`).join(", ") : String(prompt);
}
