/** The form's other side: its input as JSON. What is written in one is in the other at once. */

import { byId } from "./dom.js";
import { readJson, writeJson } from "./inputs.js";
import { makeTabs } from "./tabs.js";

export class JsonTab {
  constructor(form) {
    this.form = form;
    this.files = new Map();
    this.area = byId("json");
    this.writing = false;
    this.tabs = makeTabs(byId("form-tabs"), () => this.area.hasAttribute("aria-invalid") || this.follow());
    this.area.oninput = () => this.take();
    byId("json-copy").onclick = async () => {
      await navigator.clipboard.writeText(this.area.value).catch(() => this.area.select());
    };
  }

  get open() {
    return this.tabs?.chosen() === "tab-json";
  }

  /** Show what the form holds now, unless it comes from here. */
  follow() {
    if (this.writing) return;
    this.area.value = writeJson(this.form.read(), this.form.secrets, this.files);
    this.print_status("");
  }

  /** The form gets what is written, as soon as that can be read. */
  take() {
    try {
      const given = readJson(this.area.value, this.form, this.files);
      this.print_status("");
      this.writing = true;
      this.form.fill(given);
      for (const name of this.form.secrets) if (name in given) this.form.set(name, given[name]);
    } catch (error) {
      this.print_status(error.message);
    } finally {
      this.writing = false;
    }
  }

  print_status(text) {
    byId("json-error").textContent = text;
    byId("json-error").hidden = !text;
    if (text) this.area.setAttribute("aria-invalid", "true");
    else this.area.removeAttribute("aria-invalid");
  }

  /** Whether a run may begin: not while what is written here cannot be read. */
  isReadable() {
    const wrong = this.open && this.area.hasAttribute("aria-invalid");
    if (wrong) this.area.focus();
    return !wrong;
  }

  showForm() {
    this.tabs.select("tab-form");
  }
}
