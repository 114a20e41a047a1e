// Vercel's AI SDK: an image by a model on Replicate.
import { createReplicate } from "@ai-sdk/replicate";
import { generateImage } from "ai";

const replicate = createReplicate({
  apiToken: process.env.REPLICATE_API_TOKEN,
  baseURL: `${process.env.REPLICATE_BASE_URL}/v1`,
});
const ask = { prompt: "a red apple", seed: 7, aspectRatio: "1:1", providerOptions: { replicate: { output_format: "png" } } };
const { images } = await generateImage({ model: replicate.image("easel/emoji"), n: 2, ...ask });
const versioned = await generateImage({ model: replicate.image(`easel/emoji:${process.env.EMOJI}`), ...ask });
let refused = "";
try {
  await generateImage({ model: replicate.image("easel/emoji"), maxRetries: 0, ...ask, aspectRatio: "7:1" });
} catch (error) {
  refused = String(error.message);
}
const starts = [...images, versioned.image].map((image) => Buffer.from(image.uint8Array).toString("latin1", 1, 4));
const media = images.map((image) => image.mediaType);
// The compressed pixels alone: each file has a signature of its own.
const pixels = (image) => Buffer.from(image.uint8Array).toString("latin1").replace(/^.*?IDAT/s, "");
console.log(JSON.stringify({ starts, media, same: pixels(images[0]) === pixels(versioned.image), refused }));
