/**
 * What the form holds as a program that can be run as it stands: it takes the token and the API's address from the
 * environment, files from the current folder, and writes the outputs there. A secret becomes a variable of the
 * environment with the input's name, since a program is copied further.
 */

export const LANGUAGES = { python: pythonSnippet, javascript: javascriptSnippet, curl: curlSnippet };

/** The commands that have to come first, which hold no token. */
export function preparation(language, { api, atReplicate }) {
  const lines = { python: "pip install replicate", javascript: "npm install replicate", curl: "" }[language];
  const base = atReplicate ? "" : `export REPLICATE_BASE_URL=${api}`;
  return [lines, base, "export REPLICATE_API_TOKEN=…"].filter(Boolean).join("\n");
}

const variable = (name) => name.toUpperCase();
const INDENT = "    ";

/** `given` as source text; `write` has file(name), secret(name) and plain(value) of one language. */
function literal(value, write, depth) {
  const inner = INDENT.repeat(depth + 1);
  const close = `\n${INDENT.repeat(depth)}`;
  if (value?.blob) return write.file(value.name);
  if (Array.isArray(value)) return `[${value.map((one) => literal(one, write, depth)).join(", ")}]`;
  if (value && typeof value === "object") {
    const entries = Object.entries(value).map(([name, one]) => {
      const hidden = depth === write.depth && write.secrets.has(name);
      return `${inner}${JSON.stringify(name)}: ${hidden ? write.secret(variable(name)) : literal(one, write, depth + 1)}`;
    });
    return entries.length ? `{\n${entries.join(",\n")}${write.trailing}${close}}` : "{}";
  }
  return write.plain(value);
}

export function filesIn(given) {
  return Object.values(given).flat().filter((value) => value?.blob).map((value) => value.name);
}

function extension(given, inputs) {
  const format = given.output_format ?? inputs.find((input) => input.name === "output_format")?.default;
  return /^\w{1,5}$/.test(format ?? "") ? format : "out";
}

/**
 * The input as source text of one language. `context`: {model, version, inputs, secrets, api, atReplicate, output}, the
 * last as readOutput tells.
 */
export function pythonInput(given, context) {
  const plain = (value) => ({ true: "True", false: "False", null: "None" })[String(value)] ?? JSON.stringify(value);
  const text = (value) => (typeof value === "string" ? JSON.stringify(value) : plain(value));
  const write = {
    file: (name) => `open(${JSON.stringify(name)}, "rb")`,
    secret: (name) => `os.environ["${name}"]`,
    plain: text,
    secrets: context.secrets,
    depth: 1,
    trailing: ",",
  };
  return literal(given, write, 1);
}

export function javascriptInput(given, context) {
  const write = {
    file: (name) => `await readFile(${JSON.stringify(name)})`,
    secret: (name) => `process.env.${name}`,
    plain: (value) => JSON.stringify(value),
    secrets: context.secrets,
    depth: 0,
    trailing: ",",
  };
  return literal(given, write, 0);
}

export const reference = ({ model, version }) => (version ? `${model}:${version}` : model);
export const javascriptBase = ({ atReplicate }) => (atReplicate ? "" : '{ baseUrl: process.env.REPLICATE_BASE_URL + "/v1" }');
export const curlBase = ({ atReplicate }) => (atReplicate ? "https://api.replicate.com" : "$REPLICATE_BASE_URL");
export const CURL_TOKEN = '-H "Authorization: Bearer $REPLICATE_API_TOKEN"';

function pythonSnippet(given, context) {
  const input = pythonInput(given, context);
  const imports = input.includes("os.environ[") ? "import os\n\nimport replicate" : "import replicate";
  const { kind, list } = context.output;
  const files = `for k, file in enumerate(${list ? "output" : "[output]"}):
    with open(f"output.{k}.${extension(given, context.inputs)}", "wb") as target:
        target.write(file.read())`;
  const ends = { files, text: 'print("".join(output))', texts: 'print("\\n".join(output))', values: "print(output)" };
  return `${imports}

output = replicate.run(
    ${JSON.stringify(reference(context))},
    input=${input},
)
${ends[kind]}
`;
}

function javascriptSnippet(given, context) {
  const input = javascriptInput(given, context);
  const { kind, list } = context.output;
  const names = [filesIn(given).length ? "readFile" : "", kind === "files" ? "writeFile" : ""].filter(Boolean).join(", ");
  const files = `for (const [k, file] of ${list ? "output" : "[output]"}.entries()) {
    await writeFile(\`output.\${k}.${extension(given, context.inputs)}\`, file);
}`;
  const ends = { files, text: 'console.log([output].flat().join(""));', texts: 'console.log(output.join("\\n"));', values: "console.log(output);" };
  return `${names ? `import { ${names} } from "node:fs/promises";\n` : ""}import Replicate from "replicate";

const replicate = new Replicate(${javascriptBase(context)});
const input = ${input};
const output = await replicate.run(${JSON.stringify(reference(context))}, { input });
${ends[kind]}
`;
}

/** {uploads, path, body(more)}: the parts of a command that creates the prediction; `more` are members of its own. */
export function curlParts(given, context) {
  const base = curlBase(context);
  const names = [...new Set(filesIn(given))];
  const uploads = names.map(
    (name, k) => `file${k}=$(curl -sS "${base}/v1/files" ${CURL_TOKEN} -F ${quoted(`content=@${name}`)} |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["urls"]["get"])')\n`,
  );
  // Inside single quotes nothing has a meaning; a variable stands between two such parts.
  const write = {
    file: (name) => `"'"$file${names.indexOf(name)}"'"`,
    secret: (name) => `"'"$${name}"'"`,
    plain: (value) => JSON.stringify(value).replaceAll("'", "'\\''"),
    secrets: context.secrets,
    depth: 1,
    trailing: "",
  };
  const input = literal(given, write, 1);
  const path = context.version ? "/v1/predictions" : `/v1/models/${context.model}/predictions`;
  const version = context.version ? `${INDENT}"version": "${context.version}",\n` : "";
  return { uploads: uploads.join(""), path: `${base}${path}`, body: (more = "") => `{\n${version}${more}${INDENT}"input": ${input}\n}` };
}

function curlSnippet(given, context) {
  const { uploads, path, body } = curlParts(given, context);
  const { kind, list } = context.output;
  const files = `for k, url in enumerate(${list ? 'prediction["output"]' : '[prediction["output"]]'}):
    with open(f"output.{k}.${extension(given, context.inputs)}", "wb") as target:
        target.write(urlopen(url).read())`;
  const ends = { files, text: 'print("".join(prediction["output"]))', texts: 'print("\\n".join(prediction["output"]))', values: 'print(prediction["output"])' };
  return `${uploads}curl -sS "${path}" \\
  ${CURL_TOKEN} \\
  -H "Content-Type: application/json" -H "Prefer: wait" \\
  -d '${body()}' | python3 -c '
import json, os, sys, time
from urllib.request import Request, urlopen

prediction = json.load(sys.stdin)
while prediction.get("status") in ("starting", "processing") and not ${WAITED[String(Boolean(list && context.output.yields))]}:
    time.sleep(1)
    token = os.environ["REPLICATE_API_TOKEN"]
    prediction = json.load(urlopen(Request(prediction["urls"]["get"], headers={"Authorization": "Bearer " + token})))
if not prediction.get("output"):
    sys.exit(prediction.get("error") or prediction.get("detail") or prediction["status"])
${ends[kind]}
'
`;
}

// A waited-for success reads "processing" with its output; of a model that yields, an output may be half of it.
const WAITED = { true: 'prediction.get("completed_at")', false: 'prediction.get("output")' };

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
