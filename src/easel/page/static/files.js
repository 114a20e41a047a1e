/** A file: dropped, chosen, pasted, or named by its address, with a preview. */

import { button, formatBytes, make, shownAddress } from "./dom.js";

export function fileControl(input, id, change, api) {
  let file; // {blob, name}
  let shown; // the address of the preview
  const picker = make("input", { type: "file", hidden: true, accept: input.accept ?? "image/*" });
  const image = make("img", { alt: "", className: "preview", hidden: true });
  const caption = make("span", { className: "caption" });
  const choose = button("Choose a file", () => picker.click(), { id });
  const clear = button("Remove", () => {
    set(undefined);
    choose.focus();
    change();
  }, { hidden: true, "aria-label": `Remove ${input.name}` });
  const address = make("input", { type: "text", inputMode: "url", placeholder: "or https://…", "aria-label": `${input.name}, address` });
  address.autocomplete = "off";
  const parts = make("div", { className: "row" }, choose, make("span", { className: "or muted", textContent: "or drop it here" }), clear);
  const zone = make("div", { className: "drop", role: "group" }, image, make("div", { className: "drop-parts" }, caption, parts, address), picker);

  function preview(url) {
    if (shown?.startsWith("blob:")) URL.revokeObjectURL(shown);
    shown = url;
    image.hidden = !url;
    if (url) image.src = url;
    else image.removeAttribute("src");
  }
  image.onerror = () => {
    image.hidden = true;
    if (file) caption.textContent += " – this browser cannot show it";
  };
  function set(value) {
    file = value?.blob ? value : undefined;
    address.value = typeof value === "string" ? value : "";
    address.hidden = Boolean(file);
    clear.hidden = !value;
    caption.textContent = file ? `${file.name}, ${formatBytes(file.blob.size)}` : "";
    image.alt = value ? `${input.name}: ${file?.name ?? "from its address"}` : "";
    preview(file ? URL.createObjectURL(file.blob) : shownAddress(address.value, api));
    control.onvalue?.();
  }
  function take(list) {
    const [blob] = list ?? [];
    if (!blob) return;
    control.drawn = false;
    set({ blob, name: blob.name || `${input.name}.png` });
    change();
  }
  picker.onchange = () => {
    take(picker.files);
    picker.value = "";
  };
  address.oninput = () => {
    clear.hidden = !address.value;
    image.alt = `${input.name}: from its address`;
    preview(shownAddress(address.value.trim(), api));
    control.onvalue?.();
    change();
  };
  zone.ondragover = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take(event.dataTransfer.files);
  };
  zone.onpaste = (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files);
  };

  const control = {
    element: zone,
    target: choose,
    group: true,
    get: () => file ?? (address.value.trim() || undefined),
    set,
    parts,
    image: () => (image.hidden ? undefined : shown),
  };
  return control;
}

/** A file control that can also be drawn: `image()` gives the control of the image that the mask belongs to. */
export function maskControl(input, id, change, api, image, openMask) {
  const control = fileControl(input, id, change, api);
  const save = button("Save", () => {
    const { blob, name } = control.get();
    const url = URL.createObjectURL(blob);
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }, { hidden: true, "aria-label": "Save the mask as a file" });
  const draw = button("Draw it on the image", async () => {
    const blob = await openMask(image().image(), control.image());
    if (blob) {
      control.drawn = true;
      control.set({ blob, name: "mask.png" });
      change();
    }
    draw.focus();
  }, { disabled: true, title: "Choose an image first" });
  control.parts.prepend(draw);
  control.parts.append(save);
  let last;
  control.follow = () => {
    const source = image()?.image();
    draw.disabled = !source;
    draw.title = source ? "" : "Choose an image first";
    if (control.drawn && source !== last) {
      control.drawn = false; // It has the size of the image before.
      control.set(undefined);
    }
    last = source;
  };
  control.onvalue = () => {
    save.hidden = !control.get()?.blob;
    if (!control.get()) control.drawn = false;
    draw.textContent = control.get() ? "Change it on the image" : "Draw it on the image";
  };
  return control;
}
