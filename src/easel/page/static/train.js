/** The Train tab: a version's own images to a new version. Its form is made of the schema's TrainingInput. */

import { runPath } from "./address.js";
import { call, createTraining, fetchPage, sendFiles } from "./api.js";
import { byId, make } from "./dom.js";
import { Form } from "./form.js";
import { isNarrow } from "./layout.js";
import { readInputs } from "./schema.js";
import { askedOf, Check } from "./traincheck.js";
import { Watch } from "./trainwatch.js";

const IMAGES = "input_images"; // of Easel's trainer; another's files are given one by one
const FIRST = new Set([IMAGES, "destination", "trigger_word", "steps"]); // the rest is folded
const QUIET_MS = 500; // after a change, before the images are checked again
const NOT_THERE = /destination does not exist/;
const HARDWARE = "cpu"; // a new model must name one; a trained version runs where its base does
const DESTINATION = {
  name: "destination",
  title: "destination",
  kind: "text",
  description: "The model that gets the result as a new version, as OWNER/NAME. If it is not there, it is made, private.",
  required: true,
};

/** `about`: {model, version, schema, api}; without a schema there is no form. `training`: one to show. */
export async function showTrain(about, training) {
  document.title = `Train ${about.model} – Easel`;
  byId("main").hidden = document.querySelector(".skip").hidden = true;
  byId("train-link").setAttribute("aria-current", "page");
  byId("train").hidden = false;
  await new TrainPage(about).begin(training);
}

class TrainPage {
  constructor(about) {
    Object.assign(this, about);
    const inputs = readInputs(this.schema, "TrainingInput").map((input) => (input.name === IMAGES ? { ...input, kind: "archive" } : input));
    this.inputs = inputs;
    this.check = new Check(this.model);
    this.watch = new Watch(this.api);
    this.earlier = make("details", { className: "more", hidden: true }, make("summary", { textContent: "Earlier trainings" }));
    const fields = make("div", { className: "fields" });
    this.go = make("button", { type: "submit", className: "primary", id: "start", textContent: "Start the training" });
    this.formElement = make("form", { noValidate: true, "aria-label": "Training", hidden: !inputs.length }, fields, make("div", { className: "actions" }, this.go));
    this.nothing = make("p", { className: "muted", textContent: "Choose the images: what is wrong with any of them is shown here before you start." });
    byId("train").replaceChildren(this.formElement, make("div", { className: "result" }, this.watch.element, this.nothing, this.check.element, this.earlier));
    const all = [...inputs, DESTINATION];
    const first = all.filter((input) => FIRST.has(input.name) || input.required);
    const rest = all.filter((input) => !first.includes(input));
    this.form = new Form(all, [["", first], ...(rest.length ? [["How it trains", rest]] : [])], this.api, () => this.changed(), fields);
    if (rest.length) fields.querySelector("details").open = false;
    this.formElement.onsubmit = (event) => {
      event.preventDefault();
      this.start();
    };
  }

  async begin(training) {
    const following = training && this.watch.follow(training, this.promptOf(training.input));
    if (training) this.form.fill(Object.fromEntries(Object.entries(training.input ?? {}).filter(([name]) => this.form.fields.has(name) && name !== IMAGES)));
    const owner = training ? undefined : (await call("GET", "/v1/account").catch(() => ({}))).username;
    if (!training && owner) this.form.set("destination", `${owner}/my-${this.model.split("/")[1]}`);
    this.listEarlier();
    if (this.watch.busy) this.go.setAttribute("aria-disabled", "true");
    following?.then(() => this.rest());
  }

  /** Check the images when they, or what their captions are made of, have changed. */
  changed() {
    if (!this.form?.fields.has(IMAGES)) return;
    const archive = this.form.value(IMAGES);
    const asked = askedOf(this.form);
    const key = JSON.stringify(asked);
    if (archive === this.archive && key === this.asked) return;
    const chosen = archive !== this.archive;
    [this.archive, this.asked] = [archive, key];
    clearTimeout(this.later);
    this.check.clear();
    this.nothing.hidden = Boolean(archive) || !this.watch.element.hidden;
    this.checked = archive && new Promise((resolve) => (this.later = setTimeout(resolve, chosen ? 0 : QUIET_MS))).then(() => this.runCheck(archive, asked));
  }

  /** True if the images can be trained on; else the error is at its field. */
  async runCheck(archive, asked) {
    try {
      return await this.check.run(archive, asked);
    } catch (problem) {
      if (archive === this.archive) this.form.showError(this.form.namedIn(problem.message) ?? IMAGES, problem.message);
      return false;
    }
  }

  async start() {
    if (this.watch.busy || this.starting) return;
    this.form.clearErrors();
    const { destination, ...given } = this.form.read();
    const missing = [...this.form.fields.values()].filter(({ input }) => input.required && this.form.value(input.name) === undefined);
    for (const { input } of missing) this.form.showError(input.name, input.name === IMAGES ? "Choose the images first." : `${input.name} is required.`);
    if (missing.length) return this.form.focus(missing[0].input.name);
    this.starting = true;
    this.go.setAttribute("aria-disabled", "true");
    try {
      const archive = this.archive;
      if (archive && !(await this.checked) && !(await this.runCheck(archive, askedOf(this.form)))) return this.form.focus(IMAGES);
      this.nothing.hidden = true;
      const work = this.watch.start(() => this.create(destination, given), this.promptOf(given));
      if (isNarrow()) this.watch.element.scrollIntoView();
      await work;
    } catch (problem) {
      this.report(problem);
    } finally {
      this.rest();
    }
  }

  async create(destination, given) {
    const input = await sendFiles(given);
    const body = { destination, input };
    try {
      return await createTraining(this.model, this.version, body);
    } catch (problem) {
      const [owner, name, ...more] = destination.split("/");
      if (!NOT_THERE.test(problem.message) || !owner || !name || more.length) throw problem;
      await call("POST", "/v1/models", { owner, name, visibility: "private", hardware: HARDWARE }).catch((refused) => {
        throw Object.assign(refused, { message: `${destination} is not there, and cannot be made: ${refused.message}`, fields: [], field: "destination" });
      });
      return createTraining(this.model, this.version, body);
    }
  }

  rest() {
    this.starting = false;
    this.go.removeAttribute("aria-disabled");
    this.listEarlier();
  }

  /** An error in words, at its field where it has one. */
  report(problem) {
    const known = (problem.fields ?? []).map(({ field = "", description }) => [field.split(".")[1], description]).filter(([name]) => this.form.fields.has(name));
    const named = problem.field ?? (NOT_THERE.test(problem.message) ? "destination" : this.form.namedIn(problem.message));
    const shown = known.length || !named ? known : [[named, problem.message.replace(/^- \w+: /, "").trim()]];
    for (const [name, text] of shown) this.form.showError(name, text);
    this.watch.fail(shown.length ? `See ${shown.map(([name]) => name).join(" and ")} in the form.` : problem.message);
    if (shown.length) this.form.focus(shown[0][0]);
  }

  /** What shows the result in a prompt: the trigger word. */
  promptOf(given) {
    return given?.trigger_word ?? this.inputs.find((input) => input.name === "trigger_word")?.default ?? "";
  }

  /** Those of this model among the account's newest. */
  async listEarlier() {
    const { results } = await fetchPage("/v1/trainings").catch(() => ({ results: [] }));
    const own = results.filter(({ model, id }) => model?.split(":")[0] === this.model && runPath(id) !== location.pathname);
    const items = own.map(({ id, status, created_at }) => make("li", {}, make("a", { href: runPath(id), textContent: `${new Date(created_at).toLocaleString()}: ${status}` })));
    this.earlier.querySelector("ul")?.remove();
    this.earlier.append(make("ul", {}, ...items));
    this.earlier.hidden = !items.length;
  }
}
