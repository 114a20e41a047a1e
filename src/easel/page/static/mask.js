/**
 * The mask, drawn over the image: a dialog with a brush and an eraser, for pointer, pen and keyboard. What comes out
 * is a PNG of the image's own size, white where it was painted and black elsewhere, with nothing in between.
 */

import { button, byId, make } from "./dom.js";

const PAINT = [225, 29, 72]; // how painted parts look here; the file has white
const HALF = 128; // where a soft edge is cut, as the model cuts it
const STEP = 40; // so many presses of an arrow key cross the image
const BRUSHES = { low: 1, high: 50, start: 12 }; // per cent of the shorter side

/** Resolves to a Blob, or to undefined when the dialog was left. `mask` is the address of one to go on with. */
export async function drawMask(source, mask) {
  const dialog = byId("mask-dialog");
  const image = make("img", { src: source, alt: "The image to draw on", draggable: false });
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = make("canvas", { width, height, tabIndex: 0, role: "application" });
  canvas.setAttribute("aria-label", "Mask: arrow keys move the brush, space paints, E changes to the eraser, plus and minus its size");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (mask) await startFrom(context, mask);
  const cursor = make("div", { className: "brush" });
  const stage = make("div", { className: "stage" }, image, canvas, cursor);
  const status = make("p", { className: "muted", role: "status" });
  const size = make("input", { type: "range", min: BRUSHES.low, max: BRUSHES.high, value: BRUSHES.start, id: "brush-size" });
  const steps = [];
  let erasing = false;
  let at = { x: width / 2, y: height / 2 };

  const brush = button("Brush", () => choose(false));
  const eraser = button("Eraser", () => choose(true));
  const undo = button("Undo", () => {
    if (steps.length) context.putImageData(steps.pop(), 0, 0);
    tell();
  });
  const clear = button("Clear", () => {
    remember();
    context.clearRect(0, 0, width, height);
    tell();
  });
  const use = button("Use this mask", () => dialog.close("use"), { className: "primary" });
  const leave = button("Leave", () => dialog.close(""));

  function choose(value) {
    erasing = value;
    brush.setAttribute("aria-pressed", String(!value));
    eraser.setAttribute("aria-pressed", String(value));
    place();
  }
  const radius = () => (Math.min(width, height) * Number(size.value)) / 200;
  function place() {
    const scale = canvas.clientWidth / width || 1;
    Object.assign(cursor.style, {
      left: `${at.x * scale}px`,
      top: `${at.y * scale}px`,
      width: `${2 * radius() * scale}px`,
      height: `${2 * radius() * scale}px`,
    });
    cursor.classList.toggle("erasing", erasing);
  }
  function remember() {
    steps.push(context.getImageData(0, 0, width, height));
    // Some 64 MB in all, however large the image is.
    while (steps.length > Math.max(1, Math.min(20, 16e6 / (width * height)))) steps.shift();
  }
  function paint(from, to) {
    context.globalCompositeOperation = erasing ? "destination-out" : "source-over";
    context.strokeStyle = `rgb(${PAINT})`;
    context.lineWidth = 2 * radius();
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y); // A line without a length leaves no dot.
    context.stroke();
  }
  function tell() {
    const share = painted(context, width, height);
    status.textContent = share ? `${share < 0.01 ? "Under 1" : Math.round(100 * share)} % is painted and will be made anew.` : "Nothing is painted yet.";
    use.disabled = !share;
    undo.disabled = !steps.length;
  }
  function point(event) {
    const box = canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
  }

  canvas.onpointerdown = (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
    remember();
    at = point(event);
    paint(at, at);
    place();
  };
  canvas.onpointermove = (event) => {
    const to = point(event);
    if (event.buttons & 1) paint(at, to);
    at = to;
    place();
  };
  canvas.onpointerup = tell;
  canvas.onkeydown = (event) => {
    const [right, down] = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key] ?? [0, 0];
    if (right || down) {
      const far = Math.max(width, height) / STEP;
      const to = { x: clamp(at.x + right * far, width), y: clamp(at.y + down * far, height) };
      if (event.shiftKey) paint(at, to); // Shift draws a line.
      at = to;
      if (event.shiftKey) tell();
    } else if (event.key === " ") {
      remember();
      paint(at, at);
      tell();
    } else if (event.key.toLowerCase() === "e") choose(!erasing);
    else if (event.key === "+" || event.key === "-") size.value = Number(size.value) + (event.key === "+" ? 2 : -2);
    else return;
    event.preventDefault();
    place();
  };
  size.oninput = place;

  dialog.replaceChildren(
    make("h2", { id: "mask-title", textContent: "Draw the mask" }),
    make("p", { className: "muted", textContent: "Paint what is to be made anew. With the keyboard: arrow keys move the brush, space paints, Shift and an arrow draw a line, E erases, + and − change the size." }),
    make("div", { className: "row tools" }, brush, eraser, make("label", { for: "brush-size", textContent: "Size" }), size, undo, clear),
    stage,
    make("div", { className: "row end" }, status, leave, use),
  );
  dialog.showModal();
  // As large as the dialog has room for, small images too.
  const room = Math.min(stage.clientWidth / width, (innerHeight * 0.55) / height);
  Object.assign(stage.style, { width: `${width * room}px`, height: `${height * room}px` });
  choose(false);
  tell();
  canvas.focus();
  await new Promise((resolve) => (dialog.onclose = resolve));
  const blob = dialog.returnValue === "use" ? await blackAndWhite(context, width, height) : undefined;
  dialog.returnValue = "";
  dialog.replaceChildren();
  return blob;
}

const clamp = (value, high) => Math.min(high, Math.max(0, value));

function painted(context, width, height) {
  const { data } = context.getImageData(0, 0, width, height);
  let count = 0;
  for (let k = 3; k < data.length; k += 4) count += data[k] >= HALF;
  return count / (width * height);
}

function blackAndWhite(source, width, height) {
  const canvas = make("canvas", { width, height });
  const context = canvas.getContext("2d");
  const pixels = source.getImageData(0, 0, width, height);
  for (let k = 0; k < pixels.data.length; k += 4) {
    pixels.data.fill(pixels.data[k + 3] >= HALF ? 255 : 0, k, k + 3);
    pixels.data[k + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function startFrom(context, url) {
  const { width, height } = context.canvas;
  const image = make("img", { src: url });
  try {
    await image.decode();
    context.drawImage(image, 0, 0, width, height);
    const pixels = context.getImageData(0, 0, width, height);
    for (let k = 0; k < pixels.data.length; k += 4) {
      const white = pixels.data[k] * 0.299 + pixels.data[k + 1] * 0.587 + pixels.data[k + 2] * 0.114 >= HALF;
      pixels.data.set(PAINT, k);
      pixels.data[k + 3] = white ? 255 : 0;
    }
    context.putImageData(pixels, 0, 0);
  } catch {
    // One from another origin may be shown but not read: begin with none.
    context.canvas.width = width;
  }
}
