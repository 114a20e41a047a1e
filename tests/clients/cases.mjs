// Replicate's JavaScript client, installed beside this file. Each exported function checks something.

import assert from "node:assert/strict";
import { File } from "node:buffer";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import Replicate, { validateWebhook } from "replicate";

const { REPLICATE_BASE_URL: baseUrl, REPLICATE_API_TOKEN: auth, ARCHIVE_TOKEN, ARCHIVED, VERSION, PICTURE } = process.env;
const { MODEL: model, SKETCH, WHY } = process.env;
const [APPLE, FROM_SKETCH, STEPS, LONG, BROKEN] = JSON.parse(process.env.INPUTS);
const interval = 50; // ms; the client's own 500 would be most of what a picture takes
const picture = await readFile(PICTURE);
const replicate = new Replicate({ auth, baseUrl });
const [owner, name] = model.split("/");

/** As pixel_chunk in inputs.py. */
function pixelChunk(webp) {
  const at = webp.indexOf("VP8 ");
  return webp.subarray(at, at + 8 + webp.readUInt32LE(at + 4));
}

async function read(output) {
  const blobs = await Promise.all(output.map((one) => one.blob()));
  return Promise.all(blobs.map(async (blob) => pixelChunk(Buffer.from(await blob.arrayBuffer()))));
}

const decode = (url) => pixelChunk(Buffer.from(url.split(",")[1], "base64"));

async function refused(call, words) {
  await assert.rejects(call, (error) => words.every((one) => error.message.includes(one)) || assert.fail(error));
}

export async function run_gives_files_with_the_very_picture_of_the_cog_server() {
  const output = await replicate.run(model, { input: APPLE });
  assert.match(`${output[0].url()}`, /^data:image\/webp/);
  assert.deepEqual(await read(output), [picture]);
  assert.deepEqual(await read(await replicate.run(`${model}:${VERSION}`, { input: APPLE })), [picture]);
}

export async function run_can_poll_and_tells_of_progress() {
  const seen = [];
  const output = await replicate.run(model, { input: APPLE, wait: { mode: "poll", interval } }, ({ status }) =>
    seen.push(status),
  );
  assert.deepEqual(await read(output), [picture]);
  assert.equal(seen[0], "starting");
  assert.equal(seen.at(-1), "succeeded");
}

export async function run_gives_several_outputs_and_addresses_where_files_are_not_wanted() {
  const plain = new Replicate({ auth, baseUrl, useFileOutput: false });
  const output = await plain.run(model, { input: { ...APPLE, num_outputs: 3 } });
  assert.deepEqual(decode(output[0]), picture);
  assert.equal(new Set(output).size, 3);
}

export async function a_waited_for_success_reads_processing_and_has_its_output() {
  const prediction = await replicate.predictions.create({ model, input: APPLE, wait: true });
  assert.equal(prediction.status, "processing");
  assert.deepEqual(prediction.output.map(decode), [picture]);
  const { status, metrics } = await replicate.predictions.get(prediction.id);
  assert.deepEqual([status, metrics.seeds], ["succeeded", [APPLE.seed]]);
}

export async function a_wait_that_is_over_reads_starting_and_running_is_cancelled() {
  const prediction = await replicate.predictions.create({ version: VERSION, input: LONG, wait: 1 });
  assert.deepEqual([prediction.status, prediction.output], ["starting", null]);
  await replicate.predictions.cancel(prediction.id);
  assert.equal((await replicate.wait(prediction, { interval })).status, "canceled");
}

export async function what_waits_in_the_queue_is_cancelled_at_once() {
  const running = await replicate.predictions.create({ version: VERSION, input: LONG });
  const waiting = await replicate.predictions.create({ version: VERSION, input: LONG });
  const { status, started_at } = await replicate.predictions.cancel(waiting.id);
  assert.deepEqual([status, started_at], ["canceled", undefined]);
  await replicate.predictions.cancel(running.id);
  await replicate.wait(running, { interval });
}

export async function an_aborted_run_is_cancelled() {
  const controller = new AbortController();
  const options = { input: LONG, wait: { mode: "poll", interval }, signal: controller.signal };
  let last;
  await replicate.run(model, options, (prediction) => {
    last = prediction;
    if (prediction.status === "processing") controller.abort();
  });
  assert.equal((await replicate.wait(last, { interval })).status, "canceled");
}

export async function polling_shows_progress_that_grows() {
  const created = await replicate.predictions.create({ version: VERSION, input: STEPS });
  const seen = [];
  const ended = await replicate.wait(created, { interval }, async ({ logs }) => {
    const steps = logs.match(/\| *(\d+)\/30/g);
    if (steps) seen.push(Number(steps.at(-1).match(/\d+/)[0]));
    return false;
  });
  assert.equal(ended.status, "succeeded");
  assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  assert.ok(new Set(seen).size > 2, seen.join(" "));
}

export async function a_file_is_uploaded_and_used_as_the_image() {
  const bytes = await readFile(SKETCH);
  const draw = async (client, image) => read(await client.run(model, { input: { ...FROM_SKETCH, image } }));
  const expected = await draw(replicate, `data:image/jpeg;base64,${bytes.toString("base64")}`);
  assert.deepEqual(await draw(replicate, bytes), expected);
  assert.deepEqual(await draw(replicate, new Blob([bytes], { type: "image/jpeg" })), expected);
  assert.deepEqual(await draw(replicate, new File([bytes], "sketch.jpg", { type: "image/jpeg" })), expected);
}

export async function uploaded_files_are_listed_and_deleted() {
  const bytes = await readFile(SKETCH);
  const file = await replicate.files.create(new File([bytes], "sketch.jpg", { type: "image/jpeg" }), { from: "a test" });
  assert.deepEqual([file.name, file.size, file.content_type], ["sketch.jpg", bytes.length, "image/jpeg"]);
  assert.deepEqual((await replicate.files.get(file.id)).metadata, { from: "a test" });
  assert.ok((await replicate.files.list()).results.some(({ id }) => id === file.id));
  assert.equal(await replicate.files.delete(file.id), true);
  await refused(() => replicate.files.get(file.id), ["404", "no such file"]);
}

export async function a_refusal_is_an_error_with_its_status_and_sentence() {
  const run = (input, reference = model, client = replicate) => client.run(reference, { input });
  const stranger = new Replicate({ auth: "not-a-token", baseUrl });
  await refused(() => run({ prompt: "x", seed: "seven" }), ["422", "input.seed: must be an integer"]);
  await refused(() => run({ seed: 1 }), ["422", "prompt is required"]);
  await refused(() => run(APPLE, `${model}:${"0".repeat(64)}`), ["422", "version does not exist"]);
  await refused(() => run(APPLE, model, stranger), ["401", "authentication token"]);
  await refused(() => run(APPLE, "easel/nothing"), ["404", "no model easel/nothing"]);
}

export async function a_failed_run_is_an_error_with_the_sentence_of_the_model() {
  for (const wait of [{ mode: "block" }, { mode: "poll", interval }]) {
    await refused(() => replicate.run(model, { input: BROKEN, wait }), ["Prediction failed", WHY]);
  }
}

export async function the_client_proves_the_signatures_of_webhooks() {
  const got = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    got.push({ headers: request.headers, body });
    response.end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const webhook = `http://127.0.0.1:${server.address().port}/hook`;
  const webhook_events_filter = ["start", "completed"];
  await replicate.predictions.create({ version: VERSION, input: APPLE, webhook, webhook_events_filter });
  while (got.length < 2) await sleep(20);
  server.close();
  assert.deepEqual(
    got.map(({ body }) => JSON.parse(body).status),
    ["processing", "succeeded"],
  );
  const { key } = await replicate.webhooks.default.secret.get();
  for (const { headers, body } of got) {
    assert.equal(await validateWebhook({ headers, body }, key), true);
    assert.equal(await validateWebhook({ headers, body: `${body} ` }, key), false);
  }
}

export async function pages_hold_every_prediction_once_newest_first() {
  const archive = new Replicate({ auth: ARCHIVE_TOKEN, baseUrl });
  const pages = [];
  for await (const page of archive.paginate(archive.predictions.list)) pages.push(page);
  assert.deepEqual(
    pages.map((page) => page.length),
    [100, 100, ARCHIVED - 200],
  );
  const numbers = pages.flat().map(({ input }) => Number(input.prompt));
  assert.deepEqual(numbers, [...Array(Number(ARCHIVED)).keys()].reverse());
}

export async function a_deployment_from_its_making_to_its_end() {
  const { username } = await replicate.accounts.current();
  const made = await replicate.deployments.create({
    name: "of-javascript",
    model,
    version: VERSION,
    hardware: "cpu",
    min_instances: 0,
    max_instances: 1,
  });
  assert.deepEqual([made.owner, made.name, made.current_release.number], [username, "of-javascript", 1]);
  assert.ok((await replicate.deployments.list()).results.some((one) => one.name === made.name));
  const changed = await replicate.deployments.update(username, made.name, { max_instances: 2 });
  assert.equal(changed.current_release.configuration.max_instances, 2);
  const { output } = await replicate.deployments.predictions.create(username, made.name, { input: APPLE, wait: true });
  assert.deepEqual(output.map(decode), [picture]);
  assert.equal(await replicate.deployments.delete(username, made.name), true);
  await refused(() => replicate.deployments.get(username, made.name), ["404"]);
}

export async function models_versions_and_hardware() {
  assert.equal((await replicate.models.get(owner, name)).latest_version.id, VERSION);
  assert.ok((await replicate.models.list()).results.some((one) => one.name === name));
  assert.equal((await replicate.models.search("emoji")).results[0].name, name);
  assert.equal((await replicate.models.versions.list(owner, name)).results[0].id, VERSION);
  const { openapi_schema } = await replicate.models.versions.get(owner, name, VERSION);
  assert.deepEqual(openapi_schema.components.schemas.Input.required, ["prompt"]);
  assert.ok((await replicate.hardware.list()).some(({ sku }) => sku === "cpu"));
  assert.deepEqual((await replicate.collections.list()).results, []);
}
