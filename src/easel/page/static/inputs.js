/** What an input of the API becomes in the form: its files fetched, and the other way round as JSON. */

import { shownAddress } from "./dom.js";
import { fileName } from "./values.js";

const FILES = new Set(["file", "mask", "list"]);

/** `input` of a prediction as the form holds it: {blob, name} for each file that can be had, names it has alone. */
export async function fetchInput(input, form, api) {
  const known = Object.entries(input ?? {}).filter(([name]) => form.fields.has(name) && !form.secrets.has(name));
  const fetched = known.map(async ([name, value]) => [name, FILES.has(form.fields.get(name).input.kind) ? await fetchFiles(value, api) : value]);
  return Object.fromEntries(await Promise.all(fetched));
}

async function fetchFiles(value, api) {
  if (Array.isArray(value)) return Promise.all(value.map((one) => fetchFiles(one, api)));
  if (typeof value !== "string") return value;
  if (value.startsWith("data:")) return fromDataUrl(value) ?? value;
  const address = shownAddress(value, api);
  // An upload wants the token, which an image's address has not: it stays an address.
  if (!address?.startsWith("/page/output") || value.startsWith(`${api}/v1/`)) return value;
  return fetchFile(address, fileName(value, 0)).catch(() => value);
}

export async function fetchFile(url, name) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${name} is not there any more.`);
  return { blob: await answer.blob(), name };
}

function fromDataUrl(url) {
  const [, type, encoded, data] = /^data:([^;,]*)[^,]*?(;base64)?,(.*)$/s.exec(url) ?? [];
  if (data === undefined) return undefined;
  try {
    const text = encoded ? atob(data) : decodeURIComponent(data);
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    return { blob: new Blob([bytes], { type }), name: `file.${type.split("/")[1]?.replace("jpeg", "jpg") || "out"}` };
  } catch {
    return undefined;
  }
}

/** What the form holds as text; `files` gets each file under its name. Secrets are left out. */
export function writeJson(given, secrets, files) {
  const shown = Object.fromEntries(Object.entries(given).filter(([name]) => !secrets.has(name)));
  const named = (value) => {
    if (!value?.blob) return value;
    files.set(value.name, value);
    return `@${value.name}`;
  };
  const listed = Object.entries(shown).map(([name, value]) => [name, Array.isArray(value) ? value.map(named) : named(value)]);
  return JSON.stringify(Object.fromEntries(listed), null, 2);
}

/** The inputs that the text stands for. Raises an Error that says what is wrong, and where. */
export function readJson(text, form, files) {
  const given = parse(text.trim() ? text : "{}");
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    throw new Error('The input must be an object: write it as {"name": value}.');
  }
  const found = {};
  for (const [name, value] of Object.entries(given)) {
    if (!form.fields.has(name)) {
      throw new Error(`There is no input ${JSON.stringify(name)}. There are ${[...form.fields.keys()].join(", ")}.`);
    }
    if (value === null) continue;
    const held = FILES.has(form.fields.get(name).input.kind) ? withFiles(value, name, files) : value;
    check(held, form.fields.get(name).input);
    found[name] = held;
  }
  return found;
}

function withFiles(value, name, files) {
  if (Array.isArray(value)) return value.map((one) => withFiles(one, name, files));
  if (typeof value !== "string" || !value.startsWith("@")) return value;
  if (files.has(value.slice(1))) return files.get(value.slice(1));
  throw new Error(`${name}: the form has no file ${value.slice(1)}. Choose it there, or give an address.`);
}

const KINDS = { text: "string", secret: "string", toggle: "boolean", number: "number", seed: "number" };
const WORDS = { string: "text in quotes", boolean: "true or false", number: "a number" };

function check(value, { name, kind, choices, item }) {
  const wrong = (what) => new Error(`${name} must be ${what}, not ${(JSON.stringify(value) ?? "").slice(0, 60)}.`);
  if (kind === "choice" && !choices.includes(value)) throw wrong(`one of ${choices.map((one) => JSON.stringify(one)).join(", ")}`);
  if (KINDS[kind] && typeof value !== KINDS[kind]) throw wrong(WORDS[KINDS[kind]]);
  if ((kind === "file" || kind === "mask") && typeof value !== "string" && !value?.blob) throw wrong("an address in quotes");
  if (kind !== "list") return;
  if (!Array.isArray(value)) throw wrong("a list in brackets");
  const each = KINDS[item.kind] ?? "string";
  if (value.some((one) => typeof one !== each && !one?.blob)) throw wrong(`a list of ${each}s`);
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    const at = /position (\d+)/.exec(error.message)?.[1] ?? (/end of/.test(error.message) ? text.length : undefined);
    const lines = text.slice(0, Number(at)).split("\n");
    const named = /line (\d+) column (\d+)/.exec(error.message);
    const [line, column] = at === undefined ? (named?.slice(1) ?? []) : [lines.length, lines.at(-1).length + 1];
    const what = error.message.replace(/^JSON\.parse: /, "").replace(/ (in JSON )?at (position|line) .*$/, "").replace(/, "[\s\S]*$/, "");
    throw new Error(`${line ? `Line ${line}, column ${column}: ` : ""}this is not JSON. ${what}.`);
  }
}
