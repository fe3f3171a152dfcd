const at = (id) => document.getElementById(id);
const pixelClasses = about.pixels?.classes ?? [], objectClasses = about.objects?.classes ?? [];
const hidden = new Set();
let last = null, camera = null, queue = Promise.resolve();

function say(sentence, wrong = false) {
  at("status").textContent = sentence;
  at("status").classList.toggle("wrong", wrong);
}

const rgb = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));

// The colour of every pixel; where several labels are, stripes of theirs.
function paint({masks, size: [width, height]}) {
  const canvas = at("mask"), colours = pixelClasses.map(({colour}) => rgb(colour));
  [canvas.width, canvas.height] = [width, height];
  if (!masks.length) return;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  const seen = (k) => k < colours.length && !hidden.has(pixelClasses[k].name);
  for (let i = 0; i < width * height; i++) {
    let chosen = -1;
    if (!about.pixels.overlap) {
      if (seen(masks[0][i])) chosen = masks[0][i];
    } else {
      const has = [];
      for (let k = 0; k < masks.length; k++) if (masks[k][i] === 1 && seen(k)) has.push(k);
      if (has.length) chosen = has[Math.floor((Math.floor(i / width) + (i % width)) / 3) % has.length];
    }
    if (chosen < 0) continue;
    image.data.set(colours[chosen], 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

const certain = () => Number(at("score")?.value ?? 0) / 100;
const isShown = (one) => one.score >= certain() && !hidden.has(objectClasses[one.label].name);

function outline({boxes, width, height}) {
  const svg = at("boxes");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  at("stage").querySelectorAll(".name").forEach((one) => one.remove());
  for (const one of boxes.filter(isShown)) {
    const [x, y, w, h] = one.box, rect = document.createElementNS(svg.namespaceURI, "rect");
    for (const [name, value] of Object.entries({x, y, width: w, height: h})) rect.setAttribute(name, value);
    rect.style.stroke = objectClasses[one.label].colour;
    svg.append(rect);
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = `${objectClasses[one.label].name} ${one.score.toFixed(2)}`;
    name.style.left = `${(100 * x) / width}%`;
    name.style.top = `${(100 * y) / height}%`;
    at("stage").append(name);
  }
}

function shares({masks}) {
  const counts = pixelClasses.map(() => 0);
  if (about.pixels?.overlap) masks.forEach((mask, k) => mask.forEach((value) => (counts[k] += value === 1)));
  else masks[0]?.forEach((value) => value < counts.length && counts[value]++);
  return counts.map((count) => count / (masks[0]?.length || 1));
}

function legend(found) {
  const of = new Map();
  shares(found).forEach((share, k) => of.set(pixelClasses[k].name, [pixelClasses[k].colour, share ? `${(100 * share).toFixed(1)}%` : ""]));
  objectClasses.forEach(({name, colour}, k) => {
    const count = found.boxes.filter((one) => one.label === k && one.score >= certain()).length;
    if (!of.has(name) || count) of.set(name, [colour, [of.get(name)?.[1], count && `× ${count}`].filter(Boolean).join(", ")]);
  });
  at("legend").replaceChildren(...[...of].map(([name, [colour, share]]) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const swatch = Object.assign(document.createElement("span"), {className: "swatch"});
    swatch.style.background = colour;
    button.type = "button";
    button.className = share ? "" : "absent";
    button.setAttribute("aria-pressed", !hidden.has(name));
    button.append(swatch, `${name} `, Object.assign(document.createElement("span"), {className: "share", textContent: share}));
    button.onclick = () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", !hidden.has(name));
      again();
    };
    item.append(button);
    return item;
  }));
  const words = [...of].filter(([, [, share]]) => share).map(([name, [, share]]) => `${name} ${share}`);
  return words.join(", ") || "nothing";
}

function again() {
  if (!last) return;
  paint(last);
  outline(last);
}

function show(bitmap, found, ms) {
  last = found;
  const canvas = at("image"), scale = Math.min(1, 2048 / Math.max(found.width, found.height));
  canvas.width = Math.round(found.width * scale);
  canvas.height = Math.round(found.height * scale);
  if (bitmap) canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const fits = Math.min(window.innerHeight * 0.7, 720) / found.height; // on the screen
  at("stage").style.width = `${Math.round(found.width * fits)}px`;
  at("stage").style.aspectRatio = `${found.width} / ${found.height}`;
  at("stage").classList.toggle("small", Math.max(found.width, found.height) < 256);
  at("stage").hidden = at("how").hidden = false;
  at("zone").hidden = true;
  again();
  const words = legend(found);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `The image, with ${words}`);
  say(camera ? `${Math.round(ms)} ms` : `Found in ${Math.round(ms)} ms: ${words}.`);
  document.dispatchEvent(new CustomEvent("found", {detail: found}));
}

async function see(bitmap, file) {
  const begin = performance.now();
  const found = await find(bitmap, file);
  show(bitmap, found, performance.now() - begin);
}

const decode = {imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none"};

function take(file) {
  if (!file) return;
  stop();
  queue = queue.then(async () => {
    say(`Looking at ${file.name} …`);
    try {
      const bitmap = await createImageBitmap(file, decode).catch((error) => {
        if ("{{ engine }}" === "server") return null; // which reads more formats than a browser does
        throw new Error(`${file.name} is no image that this browser reads.`, {cause: error});
      });
      await see(bitmap, file);
    } catch (error) {
      say(error.message, true);
    }
  });
}

function stop() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  at("camera").setAttribute("aria-pressed", false);
  at("camera").textContent = "Camera";
}

async function film() {
  if (camera) return stop();
  try {
    camera = await navigator.mediaDevices.getUserMedia({video: true});
    at("camera").setAttribute("aria-pressed", true);
    at("camera").textContent = "Stop camera";
    const video = Object.assign(document.createElement("video"), {srcObject: camera, muted: true, playsInline: true});
    await video.play();
    while (camera) {
      await see(await createImageBitmap(video));
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    stop();
    say(`The camera cannot be used (${error.message}): allow it, on a page of https or of this machine.`, true);
  }
}

at("file").onchange = (event) => take(event.target.files[0]);
at("camera").onclick = film;
document.ondragover = (event) => (event.preventDefault(), at("drop").classList.add("over"));
document.ondragleave = () => at("drop").classList.remove("over");
document.ondrop = (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
};
document.onpaste = (event) => take(event.clipboardData.files[0]);
for (const [id, apply] of [["opacity", (value) => (at("mask").style.opacity = value / 100)], ["score", () => last && (outline(last), legend(last))]]) {
  const slider = at(id);
  if (!slider) continue;
  const changed = () => {
    slider.nextElementSibling.textContent = `${slider.value}%`;
    apply(slider.value);
  };
  slider.oninput = changed;
  changed();
}
say("");
document.documentElement.dataset.ready = "";
