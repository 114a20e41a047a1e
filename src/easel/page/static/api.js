/** The API's calls, through this page's own server. What is answered by an error is thrown as a Problem. */

import { modelPath, versionPath } from "./address.js";

const INLINE_BYTES = 256 * 1024; // Replicate's advice: up to here as a data URL, above as an uploaded file
const uploads = new WeakMap(); // A file that is sent twice is uploaded once.

export class Problem extends Error {
  constructor(status, document, retryAfter) {
    super(sentence(status, document, retryAfter));
    this.status = status;
    this.fields = Array.isArray(document.invalid_fields) ? document.invalid_fields : [];
  }
}

function sentence(status, document, retryAfter) {
  const detail = document.detail || document.error || document.title || `The API answered with status ${status}.`;
  if (status === 429) {
    const when = retryAfter ? ` Try again in ${retryAfter} s.` : " Try again in a while.";
    return `Too many requests. ${/\d+ s|second/.test(detail) ? detail : detail + when}`;
  }
  if (status === 401) return `${detail} Start the page with a REPLICATE_API_TOKEN of this API.`;
  return String(detail);
}

export async function call(method, path, body) {
  const plain = body instanceof FormData || body instanceof Blob;
  const options = { method, body: plain ? body : body && JSON.stringify(body) };
  if (body && !plain) options.headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Problem(0, { detail: "This page's own server does not answer. Is easel page still running?" });
  }
  const document = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, document, answer.headers.get("retry-after"));
  return document;
}

export const fetchSettings = () => call("GET", "/page/settings.json");
export const fetchModel = (model) => call("GET", `/v1/models${modelPath(model)}`);
export const fetchVersion = (model, id) => call("GET", `/v1/models${versionPath(model, id)}`);
export const fetchPrediction = (id) => call("GET", `/v1/predictions/${encodeURIComponent(id)}`);
export const fetchTraining = (id) => call("GET", `/v1/trainings/${encodeURIComponent(id)}`);
export const cancelTraining = (id) => call("POST", `/v1/trainings/${encodeURIComponent(id)}/cancel`);
export const createTraining = (model, version, body) => call("POST", `/v1/models${versionPath(model, version)}/trainings`, body);
export const cancelPrediction = (id) => call("POST", `/v1/predictions/${id}/cancel`);
/** HTML made by this page's server, which lets nothing through that runs; undefined where there is no README. */
export const fetchReadme = async (model) => (await call("GET", `/page/readme${modelPath(model)}`)).html ?? undefined;

/** One page of a list: {results, cursor}, without a cursor when it is the last. `path` is the list's. */
export async function fetchPage(path, cursor) {
  const page = await call("GET", cursor ? `${path}?cursor=${encodeURIComponent(cursor)}` : path);
  const next = page.next ? new URL(page.next, location.href).searchParams.get("cursor") : undefined;
  return { results: page.results ?? [], cursor: next ?? undefined };
}

/** By version where one is known: of most models Replicate runs only a version that is named. */
export function createPrediction(model, version, input) {
  if (version) return call("POST", "/v1/predictions", { version, input });
  return call("POST", `/v1/models/${model}/predictions`, { input });
}

/** The inputs with each file ({blob, name}) as an address. */
export async function sendFiles(value) {
  if (Array.isArray(value)) return Promise.all(value.map(sendFiles));
  if (value?.blob) return value.blob.size <= INLINE_BYTES ? dataUrl(value.blob) : upload(value);
  if (value && typeof value === "object") {
    const entries = Object.entries(value).map(async ([name, one]) => [name, await sendFiles(one)]);
    return Object.fromEntries(await Promise.all(entries));
  }
  return value;
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read any more. Choose it again."));
    reader.readAsDataURL(blob);
  });
}

async function upload({ blob, name }) {
  if (!uploads.has(blob)) {
    const form = new FormData();
    form.append("content", blob, name);
    uploads.set(blob, (await call("POST", "/v1/files", form)).urls.get);
  }
  return uploads.get(blob);
}
