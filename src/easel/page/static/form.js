/** The form: one field for each input, what it holds as the input of a prediction, and errors at their fields. */

import {
  choiceControl,
  jsonControl,
  numberControl,
  secretControl,
  seedControl,
  textControl,
  toggleControl,
} from "./controls.js";
import { byId, make } from "./dom.js";
import { fileControl, maskControl } from "./files.js";
import { makeGroup } from "./groups.js";
import { listControl } from "./lists.js";
import { drawMask } from "./mask.js";
import { limits } from "./schema.js";
import { archiveControl } from "./trainfiles.js";

const SIMPLE = {
  text: textControl,
  secret: secretControl,
  toggle: toggleControl,
  choice: choiceControl,
  number: numberControl,
  seed: seedControl,
  list: listControl,
  json: jsonControl,
  archive: archiveControl,
};

export class Form {
  /**
   * `groups` are the inputs as groupInputs has them, `api` is the API's address, `onchange` is called whenever what the
   * form holds has changed, `place` takes the fields.
   */
  constructor(inputs, groups, api, onchange, place = byId("fields")) {
    this.inputs = inputs;
    this.fields = new Map();
    this.changed = () => {
      const given = this.read();
      for (const group of this.groups) group.update(given);
      onchange();
    };
    const change = (name) => () => {
      this.clearError(name);
      this.fields.get("mask")?.control.follow?.();
      this.changed();
    };
    const narrow = matchMedia("(max-width: 900px)").matches;
    this.groups = groups.map(([title, members], k) => {
      const group = makeGroup(title, members, !narrow || k === 0);
      for (const input of members) {
        const id = `input-${input.name}`;
        const control = this.makeControl(input, id, change(input.name), api);
        const field = makeField(input, id, control);
        this.fields.set(input.name, { input, control, ...field });
        group.body.append(field.element);
      }
      return group;
    });
    this.fields = new Map(inputs.map(({ name }) => [name, this.fields.get(name)])); // in their author's order again
    place.replaceChildren(...this.groups.map((group) => group.element));
    if (!inputs.length) place.append(make("p", { className: "hint", textContent: "This model has no inputs." }));
    this.fill({});
  }

  makeControl(input, id, change, api) {
    if (input.kind === "file") return fileControl(input, id, change, api);
    if (input.kind !== "mask") return SIMPLE[input.kind](input, id, change);
    return maskControl(input, id, change, api, () => this.fields.get("image")?.control, drawMask);
  }

  /** Exactly what is to be sent: what differs from the default. Files as {blob, name}, secrets as they are. */
  read() {
    const given = {};
    for (const [name, { input, control }] of this.fields) {
      const value = control.get();
      if (value === undefined || (!input.required && same(value, input.default))) continue;
      given[name] = value;
    }
    return given;
  }

  /** What the control of this name holds, also where it is the default; undefined where it is empty. */
  value(name) {
    return this.fields.get(name).control.get();
  }

  get secrets() {
    return new Set([...this.fields].filter(([, field]) => field.control.secret).map(([name]) => name));
  }

  /** Every input: those of `given`, and the defaults of all others. Secrets stay, as no example has any. */
  fill(given) {
    this.clearErrors();
    for (const [name, { control }] of this.fields) {
      if (!control.secret) control.set(given[name]);
      if (control.drawn) control.drawn = false;
    }
    this.fields.get("mask")?.control.follow?.();
    this.changed();
  }

  set(name, value) {
    this.fields.get(name).control.set(value);
    this.clearError(name);
    this.fields.get("mask")?.control.follow?.();
    this.changed();
  }

  focus(name) {
    this.unfold(name);
    this.fields.get(name)?.control.target.focus();
  }

  /** Open the group that has it. */
  unfold(name) {
    const group = this.fields.get(name)?.element.closest("details");
    if (group) group.open = true;
  }

  showError(name, text) {
    const { error, control } = this.fields.get(name);
    this.unfold(name);
    error.textContent = text;
    error.hidden = false;
    control.target.setAttribute("aria-invalid", "true");
    error.parentElement.classList.add("wrong");
  }

  clearError(name) {
    const { error, control } = this.fields.get(name);
    error.hidden = true;
    error.textContent = "";
    control.target.removeAttribute("aria-invalid");
    error.parentElement.classList.remove("wrong");
  }

  clearErrors() {
    for (const name of this.fields.keys()) this.clearError(name);
  }

  /** The input that a sentence is about: the one it names first. */
  namedIn(text) {
    const found = [...this.fields.keys()]
      .map((name) => ({ name, at: text.search(new RegExp(`(?<![\\w-])${name}(?![\\w-])`)) }))
      .filter(({ at }) => at >= 0);
    return found.sort((one, other) => one.at - other.at)[0]?.name;
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other) || (one === "" && other === undefined);

function makeField(input, id, control) {
  const described = [];
  const name = make(control.group ? "span" : "label", { className: "name", textContent: input.title, id: `${id}-name` });
  if (!control.group) name.setAttribute("for", id);
  const required = input.required ? make("span", { className: "required", textContent: "required" }) : null;
  const allowed = limits(input);
  const limit = allowed ? make("span", { className: "limits", id: `${id}-limits`, textContent: allowed }) : null;
  const hint = make("p", { className: "hint", id: `${id}-hint`, textContent: input.description });
  const error = make("p", { className: "error", id: `${id}-error`, hidden: true });
  described.push(error.id, ...(limit ? [limit.id] : []), ...(input.description ? [hint.id] : []));
  control.target.setAttribute("aria-describedby", described.join(" "));
  if (input.required) control.target.setAttribute("aria-required", "true");
  if (control.group) control.element.setAttribute("aria-labelledby", name.id);
  const head = make("div", { className: "head" }, name, required, limit);
  const element = make("div", { className: `field ${input.kind}`, "data-name": input.name }, head, control.element, error, hint);
  return { element, error };
}
