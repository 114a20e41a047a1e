/** A model's page: its form, the run that it shows, and the tabs beside it. */

import { modelPath, readAddress, runPath } from "./address.js";
import { fetchPage, fetchPrediction } from "./api.js";
import { makeCode } from "./code.js";
import { byId } from "./dom.js";
import { plainError } from "./errors.js";
import { fitting, showExamples } from "./examples.js";
import { Form } from "./form.js";
import { groupInputs } from "./groups.js";
import { History } from "./history.js";
import { fetchFile, fetchInput } from "./inputs.js";
import { JsonTab } from "./jsontab.js";
import { arrange, isNarrow } from "./layout.js";
import { Output } from "./output.js";
import { isOver, Run } from "./run.js";
import { readInputs, readOutput } from "./schema.js";
import { makeTabs } from "./tabs.js";
import { makeVersions } from "./versions.js";

export class ModelPage {
  /** `about`: {model, version, latest, schema, api, at_replicate}. */
  constructor(about) {
    Object.assign(this, about);
    this.home = location.pathname.startsWith("/p/") ? modelPath(this.model) : location.pathname;
    this.inputs = readInputs(this.schema);
    const output = readOutput(this.schema);
    let refresh = () => {};
    this.form = new Form(this.inputs, groupInputs(this.inputs, output.kind === "files"), this.api, () => refresh());
    this.json = new JsonTab(this.form);
    const showCode = makeCode({ ...about, atReplicate: this.at_replicate, inputs: this.inputs, secrets: this.form.secrets, output });
    refresh = () => {
      this.json.follow();
      showCode(this.form.read());
    };
    refresh();
    const target = this.inputs.find((input) => input.kind === "file" && isForImages(input));
    this.target = target?.name;
    this.output = new Output(this.api, output, target && ((url, name) => this.useAsInput(url, name)), (input) => this.fillFrom(input));
    this.history = new History(this.model, this.api, output, (prediction) => this.choose(prediction));
    const showVersions = makeVersions(this.model, this.version, this.latest);
    makeTabs(byId("language-tabs"));
    this.tabs = makeTabs(byId("result-tabs"), (id) => {
      if (id === "tab-history") this.history.refresh();
      if (id === "tab-versions") showVersions();
    });
    arrange();
    this.listen();
    this.examples = this.listExamples(output);
  }

  async listExamples(output) {
    const { results } = await fetchPage(`/v1/models${modelPath(this.model)}/examples`).catch(() => ({ results: [] }));
    showExamples(fitting(results, this.form.fields), output, this.api, (example) => this.choose(example, !this.at_replicate));
  }

  listen() {
    byId("form").onsubmit = (event) => {
      event.preventDefault();
      this.run();
    };
    byId("cancel").onclick = () => {
      this.running?.cancel();
      byId("cancel").setAttribute("aria-disabled", "true");
      byId("cancel").textContent = "Canceling";
    };
    byId("reset").onclick = () => {
      if (!this.running) {
        this.output.clear();
        this.go(this.home);
      }
      this.form.fill({});
      for (const name of this.form.secrets) this.form.set(name, undefined);
    };
    document.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !byId("mask-dialog").open) this.run();
    });
    addEventListener("popstate", () => this.arrive());
  }

  /** What the address names at first. */
  async begin(prediction) {
    if (prediction) await this.open(prediction);
    await this.examples;
  }

  go(path) {
    if (location.pathname !== path) history.pushState({}, "", path);
  }

  /** Back or forward: the run of the address, or none. */
  async arrive() {
    const { run } = readAddress(location.pathname);
    this.leave();
    this.output.clear();
    if (!run) return;
    try {
      const prediction = await fetchPrediction(run);
      if (readAddress(location.pathname).run === run) await this.open(prediction);
    } catch (problem) {
      this.output.fail(problem.message);
    }
  }

  /** An example or an older run, by hand. */
  async choose(prediction, addressed = true) {
    this.leave();
    if (addressed) this.go(runPath(prediction.id));
    this.tabs.select("tab-output");
    await this.open(prediction);
    byId("result").scrollTop = 0;
    if (isNarrow()) byId("result").scrollIntoView();
  }

  leave() {
    this.turn = {}; // What is being opened comes too late.
    this.running?.leave();
    this.rest();
  }

  /** Show a prediction, with its inputs in the form; follow one that still goes on. */
  async open(prediction) {
    const turn = (this.turn = {});
    this.output.clear();
    if (prediction.data_removed) {
      this.output.fail("Input, output and logs of this run have been removed, as they are some time after its end.");
    } else {
      const input = await fetchInput(prediction.input, this.form, this.api);
      if (turn !== this.turn) return;
      this.form.fill(input);
    }
    if (isOver(prediction)) {
      this.output.showLogs(prediction.logs);
      this.finish(prediction, prediction.input ?? {}, false);
      byId("parameters").open = !isNarrow();
      return;
    }
    const run = this.take();
    this.output.begin(Math.max(0, Date.now() - Date.parse(prediction.created_at ?? new Date())));
    this.conduct(run, run.follow(prediction), prediction.input ?? {});
  }

  async fillFrom(input) {
    this.form.fill(await fetchInput(input, this.form, this.api));
  }

  async useAsInput(url, name) {
    try {
      this.form.set(this.target, url.startsWith("/") ? await fetchFile(url, name) : url);
      this.json.showForm();
      this.form.focus(this.target);
    } catch (error) {
      this.output.fail(error.message);
    }
  }

  async run() {
    if (this.running || !this.json.isReadable()) return;
    this.form.clearErrors();
    this.tabs.select("tab-output");
    const given = this.form.read();
    const run = this.take();
    this.output.begin();
    if (isNarrow()) byId("result").scrollIntoView();
    await this.conduct(run, run.start(this.model, this.version, given, (created) => !run.left && this.go(runPath(created.id))), given);
  }

  /** The page's one run from now on. */
  take() {
    const run = new Run((prediction) => {
      if (run.left) return;
      if (prediction.problem) this.output.fail(prediction.problem.message);
      else this.output.show(prediction);
    });
    this.running = run;
    this.turn = {};
    byId("run").setAttribute("aria-disabled", "true"); // not disabled: that would lose the focus
    byId("cancel").hidden = false;
    byId("cancel").removeAttribute("aria-disabled");
    byId("cancel").textContent = "Cancel";
    return run;
  }

  async conduct(run, work, given) {
    try {
      const prediction = await work;
      if (prediction && !run.left) this.finish(prediction, given);
    } catch (problem) {
      if (run.left) return;
      this.output.end(problem.status === 422 ? "refused" : "failed");
      this.report({ text: problem.message }, problem.fields ?? []);
    } finally {
      if (!run.left) this.rest();
    }
  }

  rest() {
    this.running = undefined;
    this.output.stop();
    byId("run").removeAttribute("aria-disabled");
    if ([byId("cancel"), document.body].includes(document.activeElement) && !byId("cancel").hidden) byId("run").focus({ preventScroll: true });
    byId("cancel").hidden = true;
  }

  /** `focus`: an error takes the focus to its field. */
  finish(prediction, given, focus = true) {
    this.output.end(prediction.status, prediction);
    // What was sent, not what came back: files keep their names, and secrets are left out.
    const shown = Object.fromEntries(Object.entries(given).filter(([name]) => !this.form.secrets.has(name)));
    const values = this.output.reveal({ ...prediction, input: shown });
    if (prediction.status === "succeeded" && !prediction.data_removed) this.output.summarize(values, prediction);
    if (prediction.status === "failed") this.report(plainError(prediction.error), [], focus);
  }

  /** An error in words: at its field where it has one, and on top. */
  report({ text, address }, problems, focus = true) {
    const { form } = this;
    const shown = [];
    for (const { field = "", description = "" } of problems) {
      const name = field.split(".")[1] ?? form.namedIn(description);
      if (!form.fields.has(name)) continue;
      form.showError(name, capital(description));
      shown.push(name);
    }
    if (!problems.length) {
      const named = address && [...form.fields.keys()].find((one) => JSON.stringify(form.value(one) ?? "").includes(address));
      const name = named ?? form.namedIn(text);
      if (name) {
        form.showError(name, text);
        shown.push(name);
      }
    }
    const names = this.inputs.map((input) => input.name).filter((name) => shown.includes(name));
    this.output.fail(problems.length && shown.length === problems.length ? `See ${names.join(" and ")} in the form.` : text);
    if (!names.length || !focus) return;
    this.json.showForm();
    form.focus(names[0]);
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const isForImages = (input) => !input.accept || input.accept.includes("image");
