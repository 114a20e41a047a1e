// Pictures by Replicate's JavaScript client, from Replicate or from an `easel api` of your own.
//
//   npm install replicate
//   export REPLICATE_API_TOKEN=...
//   export REPLICATE_BASE_URL=http://127.0.0.1:5001   # left out: Replicate
//   node javascript.mjs [OWNER/MODEL] [FOLDER]

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import Replicate from "replicate";

const [model = "easel/emoji", folder = "."] = process.argv.slice(2);

// The client reads the token itself, but not the address; and it wants /v1 at its end.
const address = process.env.REPLICATE_BASE_URL;
const replicate = new Replicate(address ? { baseUrl: `${address}/v1` } : {});

async function draw(name, input) {
  // "poll" asks again and again, so there is something to tell meanwhile. Left out, one request waits for the pictures.
  const outputs = await replicate.run(model, { input, wait: { mode: "poll" } }, ({ status }) => console.error(status));
  const paths = [];
  for (const [number, output] of [outputs].flat().entries()) {
    paths.push(join(folder, `${name}.${number}.webp`));
    await writeFile(paths[number], output); // a stream of the file; output.url() is its address
    console.log(paths[number]);
  }
  return paths;
}

try {
  await mkdir(folder, { recursive: true });
  // With a seed the same pictures every time: picture k has seed + k.
  const [first] = await draw("apple", { prompt: "a red apple", num_outputs: 2, seed: 7, output_format: "webp" });
  // A Buffer, Blob or File is an input as well: the client uploads it. 1 would ignore the image, 0 would keep it.
  const image = await readFile(first);
  await draw("face", { prompt: "a smiling face", image, prompt_strength: 0.7, seed: 7, output_format: "webp" });
} catch (error) {
  console.error(error.message); // the token, the model, an input, a failed prediction: its sentence says which
  process.exitCode = 1;
}
