/** The page: an address becomes the list of models, or a model with its form and the run that is named. */

import { modelPath, readAddress, trainPath } from "./address.js";
import { fetchModel, fetchPrediction, fetchReadme, fetchSettings, fetchTraining, fetchVersion, Problem } from "./api.js";
import { byId, make } from "./dom.js";
import { ModelPage } from "./modelpage.js";
import { showAbout, showModels } from "./models.js";
import { isTrainable } from "./schema.js";

const settings = await fetchSettings();
byId("served").textContent = settings.at_replicate ? "on Replicate" : `by ${settings.api.replace(/^https?:\/\//, "")}`;
try {
  await open(readAddress(location.pathname));
} finally {
  document.body.dataset.ready = byId("form").dataset.ready = "true";
}

async function open(address) {
  if (address.models) return showModels(settings.api);
  if (address.planner) return (await import("./planner.js")).showPlanner();
  let prediction;
  let training;
  let unknown = "";
  if (address.run) {
    try {
      prediction = await fetchPrediction(address.run).catch(async (problem) => {
        if (problem.status !== 404) throw problem;
        training = await fetchTraining(address.run); // whose web address is the same
      });
    } catch (problem) {
      unknown = problem.status === 404 ? `There is no run ${address.run} here: it was removed, or it is another account's.` : problem.message;
    }
  }
  const model = address.model ?? modelOf(prediction ?? training) ?? settings.model;
  const [owner, name] = model.split("/");
  document.title = `${model} – Easel`;
  byId("title").href = modelPath(model);
  byId("owner").textContent = owner;
  byId("name").textContent = name;
  if (unknown) notice(unknown);
  showReadme(model);
  try {
    const about = await fetchModel(model);
    showAbout(about);
    const latest = about.latest_version;
    const named = address.version ?? training?.version;
    const version = named ? await fetchVersion(model, named).catch((problem) => {
      if (!training || problem.status !== 404) throw problem;
      return { id: named }; // it was deleted, which the training survives
    }) : latest;
    if (!version) {
      notice(`${model} has no version yet. Push one, or wait until its server is ready.`);
      return showRun(prediction);
    }
    if (isTrainable(version.openapi_schema)) {
      byId("train-link").href = trainPath(model, address.version);
      byId("train-link").hidden = false;
    }
    if (training || (address.train && isTrainable(version.openapi_schema))) {
      return (await import("./train.js")).showTrain({ ...settings, model, version: version.id, schema: version.openapi_schema }, training);
    }
    if (address.train) notice(`This version of ${model} cannot be trained: its schema has no inputs of a training.`);
    const page = new ModelPage({ ...settings, model, latest: latest?.id, version: version.id, schema: version.openapi_schema });
    if (address.version && version.id !== latest?.id) notice(`The form is that of version ${version.id.slice(0, 12)}, which is not the newest.`);
    await page.begin(prediction);
    const prompt = new URLSearchParams(location.hash.slice(1)).get("prompt"); // of a link to try what a training made
    if (prompt && !prediction && page.form.fields.has("prompt")) page.form.set("prompt", prompt);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 404 && location.pathname === "/") return showModels(settings.api); // there is another API than it was started for
    notice(problem.status === 404 ? `${problem.message} See the list of all models.` : problem.message, problem.status !== 404);
    await showRun(prediction);
  }

  /** The run alone, of a model that has no form any more. */
  async function showRun(prediction) {
    byId("form").hidden = byId("actions").hidden = true;
    byId("result").hidden = !prediction;
    if (prediction) await new ModelPage({ ...settings, model, version: prediction.version, schema: {} }).begin(prediction);
  }
}

/** OWNER/NAME, with which a version may stand. */
function modelOf(prediction) {
  return /^[^/:]+\/[^/:]+/.exec(prediction?.model ?? "")?.[0];
}

async function showReadme(model) {
  const panel = byId("panel-readme");
  try {
    const html = await fetchReadme(model);
    if (html) panel.innerHTML = html; // made by this page's server, which lets nothing through that runs
    else panel.replaceChildren(make("p", { className: "muted", textContent: "This model has no README." }));
  } catch (problem) {
    panel.replaceChildren(make("p", { className: "muted", textContent: problem.message }));
  }
}

function notice(text, again = false) {
  byId("notice").replaceChildren(text);
  if (again) byId("notice").append(" ", make("button", { type: "button", className: "small", textContent: "Try again", onclick: () => location.reload() }));
  byId("notice").hidden = false;
}
