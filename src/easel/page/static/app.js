/** The page: what the server knows about the model becomes the form, and a run of it becomes pictures. */

import { fetchModel } from "./api.js";
import { makeCode } from "./code.js";
import { byId } from "./dom.js";
import { fetchFile, fetchFiles, showExamples } from "./examples.js";
import { Form } from "./form.js";
import { Output, summary } from "./output.js";
import { Run } from "./run.js";
import { outputIsList, readInputs } from "./schema.js";
import { makeTabs } from "./tabs.js";

const page = await (await fetch("/page/model.json")).json();
const model = `${page.owner}/${page.name}`;
let running; // the Run, while there is one

const tabs = makeTabs(document.querySelector(".tabs"));
makeTabs(document.querySelector(".tabs.inner"));
document.title = `${model} – Easel`;
byId("owner").textContent = page.owner;
byId("name").textContent = page.name;
byId("served").textContent = page.at_replicate ? "on Replicate" : `by ${page.api.replace(/^https?:\/\//, "")}`;
byId("panel-readme").innerHTML = page.readme; // made by this page's server, which lets nothing through that runs

let version;
let schema = page.openapi_schema;
try {
  const latest = (await fetchModel(model)).latest_version;
  version = latest?.id;
  schema = latest?.openapi_schema ?? schema;
  if (!version) notice("The API knows no version of this model yet, so the form is that of openapi.json.");
} catch (problem) {
  notice(`${problem.message} The form is that of openapi.json meanwhile.`);
}

const inputs = readInputs(schema);
let refresh = () => {};
const form = new Form(inputs, page.api, () => refresh());
const context = { model, version, inputs, secrets: form.secrets, api: page.api, atReplicate: page.at_replicate, list: outputIsList(schema) };
const showCode = makeCode(context);
refresh = () => showCode(form.read());
refresh();
const target = inputs.find((input) => input.kind === "file");
const output = new Output(page.api, target && useAsInput, (input) => fillFrom(input));
showExamples(page.examples, chooseExample);
byId("form").dataset.ready = "true";

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = false;
}

async function fillFrom(input) {
  const entries = Object.entries(input).filter(([name]) => form.fields.has(name) && !form.secrets.has(name));
  form.fill(Object.fromEntries(await Promise.all(entries.map(async ([name, value]) => [name, await fetchFiles(value)]))));
}

async function chooseExample(example) {
  if (running) return;
  try {
    await fillFrom(example.input);
  } catch (error) {
    output.fail(error.message);
    return;
  }
  output.clear();
  output.reveal(example);
  byId("pictures").scrollIntoView({ block: "nearest" });
}

async function useAsInput(url, name) {
  form.set(target.name, url.startsWith("/") ? await fetchFile(url, name) : url);
  form.focus(target.name);
}

async function run() {
  if (running) return;
  form.clearErrors();
  tabs.select("tab-output");
  running = new Run((prediction) => (prediction.problem ? output.fail(prediction.problem.message) : output.show(prediction)));
  byId("run").setAttribute("aria-disabled", "true"); // not disabled: that would lose the focus
  byId("cancel").hidden = false;
  byId("cancel").removeAttribute("aria-disabled");
  byId("cancel").textContent = "Cancel";
  const given = form.read();
  output.begin();
  if (matchMedia("(max-width: 900px)").matches) byId("result").scrollIntoView();
  try {
    finish(await running.start(model, version, given), given);
  } catch (problem) {
    output.end(problem.status === 422 ? "refused" : "failed");
    report(problem.message, problem.fields ?? []);
  } finally {
    running = undefined;
    byId("run").removeAttribute("aria-disabled");
    if ([byId("cancel"), document.body].includes(document.activeElement)) byId("run").focus();
    byId("cancel").hidden = true;
  }
}

function finish(prediction, given) {
  output.end(prediction.status);
  if (prediction.status === "failed") {
    report(prediction.error || "The prediction failed without a reason. The logs may have one.", []);
  } else if (prediction.status === "succeeded") {
    // What was sent, not what came back: files keep their names, and secrets are left out.
    const shown = Object.fromEntries(Object.entries(given).filter(([name]) => !form.secrets.has(name)));
    const count = output.reveal({ ...prediction, input: shown });
    output.say("succeeded", count ? summary(count, prediction) : "Done, without a file");
  }
}

/** An error in words: at its field where it has one, and on top. */
function report(text, problems) {
  const shown = [];
  for (const { field = "", description = "" } of problems) {
    const name = field.split(".")[1] ?? form.namedIn(description);
    if (!form.fields.has(name)) continue;
    form.showError(name, capital(description));
    shown.push(name);
  }
  if (!problems.length) {
    const name = form.namedIn(text);
    if (name) {
      form.showError(name, text);
      shown.push(name);
    }
  }
  const names = inputs.map((input) => input.name).filter((name) => shown.includes(name));
  output.fail(problems.length && shown.length === problems.length ? `See ${names.join(" and ")} in the form.` : text);
  if (names.length) form.focus(names[0]);
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

byId("form").onsubmit = (event) => {
  event.preventDefault();
  run();
};
byId("cancel").onclick = () => {
  running?.cancel();
  byId("cancel").setAttribute("aria-disabled", "true");
  byId("cancel").textContent = "Canceling";
};
byId("reset").onclick = () => {
  if (!running) output.clear();
  form.fill({});
  for (const name of form.secrets) form.set(name, undefined);
};
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !byId("mask-dialog").open) run();
});
