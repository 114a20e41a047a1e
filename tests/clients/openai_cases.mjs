// OpenAI's JavaScript client, installed beside this file. Each exported function checks something.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";

import OpenAI, { toFile } from "openai";

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, IMAGE, MASK } = process.env;
const openai = new OpenAI({ apiKey, baseURL, maxRetries: 0 });
const APPLE = { model: "easel/emoji", prompt: "a red apple", seed: 7, num_inference_steps: 4 };
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47]);

export async function generates_images_as_base64() {
  const made = await openai.images.generate({ ...APPLE, n: 2, size: "128x128" });
  assert.equal(made.data.length, 2);
  assert.equal(made.size, "128x128");
  assert.deepEqual(Buffer.from(made.data[0].b64_json, "base64").subarray(0, 4), PNG);
}

export async function edits_an_image_inside_a_mask() {
  const made = await openai.images.edit({
    ...APPLE,
    image: [await toFile(await readFile(IMAGE), "house.png", { type: "image/png" })],
    mask: await toFile(await readFile(MASK), "mask.png", { type: "image/png" }),
  });
  assert.deepEqual(Buffer.from(made.data[0].b64_json, "base64").subarray(0, 4), PNG);
}

export async function streams_previews_and_the_image() {
  const types = [];
  for await (const event of await openai.images.generate({ ...APPLE, num_inference_steps: 8, stream: true, partial_images: 2 }))
    types.push(event.type);
  assert.deepEqual(types, ["image_generation.partial_image", "image_generation.partial_image", "image_generation.completed"]);
}

export async function lists_models_in_its_own_form() {
  const ids = [];
  for await (const model of await openai.models.list()) ids.push(model.id);
  assert.deepEqual(ids, ["easel/emoji"]);
  assert.equal((await openai.models.retrieve("easel/emoji")).object, "model");
}

export async function tells_what_was_wrong() {
  await assert.rejects(openai.images.generate({ ...APPLE, background: "transparent" }), (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "background");
    return true;
  });
  const stranger = new OpenAI({ apiKey: "not-a-token", baseURL, maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
}
