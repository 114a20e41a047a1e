/** The other ways to call a model, for what the form holds: polled, told by a webhook, streamed. */

import { CURL_TOKEN, curlParts, filesIn, javascriptBase, javascriptInput, pythonInput, reference } from "./snippets.js";

const HOOK = "https://example.com/replicate-webhook";

/** [[title, note, write(given, context)]] of one language. */
export const WAYS = {
  python: [
    ["Polling", "Create it, and ask until it has ended.", pythonPolling],
    ["Webhook", "", pythonWebhook],
    ["Streaming", "", pythonStream],
  ],
  javascript: [
    ["Polling", "Create it, and ask until it has ended.", javascriptPolling],
    ["Webhook", "", javascriptWebhook],
    ["Streaming", "", javascriptStream],
  ],
  curl: [
    ["Polling", "Create it, and ask until it has ended.", curlPolling],
    ["Webhook", "", curlWebhook],
    ["Streaming", "", curlStream],
  ],
};
export const WEBHOOK_NOTE =
  "Your address is called when the prediction ends. It must be public and begin with https://. The calls are signed; see GET /v1/webhooks/default/secret.";
export const STREAM_NOTE = "Each part of the output as soon as the model yields it (server-sent events).";
export const NO_STREAM = "This model does not yield its output in parts, so there is nothing to stream.";

const target = (context, before, after) =>
  context.version ? `${before}version${after}${JSON.stringify(context.version)}` : `${before}model${after}${JSON.stringify(context.model)}`;

const pythonImports = (input, ...others) =>
  [...[...others, input.includes("os.environ[") ? "os" : ""].filter(Boolean).sort().map((name) => `import ${name}`)].join("\n");

function pythonCreate(given, context, more = "") {
  return `prediction = replicate.predictions.create(
${target(context, "    ", "=")},
    input=${pythonInput(given, context)},${more}
)`;
}

function pythonPolling(given, context) {
  const create = pythonCreate(given, context);
  return `${pythonImports(create, "time")}

import replicate

${create}
while prediction.status in ("starting", "processing"):
    time.sleep(1)
    prediction.reload()
print(prediction.status, prediction.error or prediction.output)
`;
}

function pythonWebhook(given, context) {
  const create = pythonCreate(given, context, `\n    webhook="${HOOK}",\n    webhook_events_filter=["completed"],`);
  const imports = pythonImports(create);
  return `${imports ? `${imports}\n\n` : ""}import replicate\n\n${create}\nprint(prediction.id)\n`;
}

function pythonStream(given, context) {
  const input = pythonInput(given, context);
  const imports = pythonImports(input);
  return `${imports ? `${imports}\n\n` : ""}import replicate

for event in replicate.stream(
    ${JSON.stringify(reference(context))},
    input=${input},
):
    print(str(event), end="", flush=True)
`;
}

function javascriptStart(given, context) {
  const reads = filesIn(given).length ? 'import { readFile } from "node:fs/promises";\n' : "";
  return `${reads}import Replicate from "replicate";

const replicate = new Replicate(${javascriptBase(context)});
const input = ${javascriptInput(given, context)};
`;
}

function javascriptPolling(given, context) {
  return `${javascriptStart(given, context)}let prediction = await replicate.predictions.create({ ${target(context, "", ": ")}, input });
while (["starting", "processing"].includes(prediction.status)) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    prediction = await replicate.predictions.get(prediction.id);
}
console.log(prediction.status, prediction.error ?? prediction.output);
`;
}

function javascriptWebhook(given, context) {
  return `${javascriptStart(given, context)}const prediction = await replicate.predictions.create({
${target(context, "    ", ": ")},
    input,
    webhook: "${HOOK}",
    webhook_events_filter: ["completed"],
});
console.log(prediction.id);
`;
}

function javascriptStream(given, context) {
  return `${javascriptStart(given, context)}for await (const event of replicate.stream(${JSON.stringify(reference(context))}, { input })) {
    process.stdout.write(String(event));
}
`;
}

function curlCreate(given, context, more = "") {
  const { uploads, path, body } = curlParts(given, context);
  return { uploads, create: `curl -sS "${path}" \\
  ${CURL_TOKEN} \\
  -H "Content-Type: application/json" \\
  -d '${body(more)}'` };
}

const member = (path) => `python3 -c 'import json, sys; print(json.load(sys.stdin)${path})'`;

function curlPolling(given, context) {
  const { uploads, create } = curlCreate(given, context);
  return `${uploads}url=$(${create} | ${member('["urls"]["get"]')})
while status=$(curl -sS "$url" ${CURL_TOKEN} | ${member('["status"]')}); do
  case $status in starting | processing) sleep 1 ;; *) break ;; esac
done
curl -sS "$url" ${CURL_TOKEN}
`;
}

function curlWebhook(given, context) {
  const { uploads, create } = curlCreate(given, context, `    "webhook": "${HOOK}",\n    "webhook_events_filter": ["completed"],\n`);
  return `${uploads}${create}\n`;
}

function curlStream(given, context) {
  const { uploads, create } = curlCreate(given, context);
  return `${uploads}url=$(${create} | ${member('["urls"]["stream"]')})
curl -sSN -H "Accept: text/event-stream" "$url"
`;
}
