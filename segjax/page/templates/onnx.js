import * as ort from "./ort.wasm.min.js";

const beside = (name) => new URL(name, document.baseURI).href;
ort.env.wasm.wasmPaths = {mjs: beside("ort-wasm-simd-threaded.js"), wasm: beside("ort-wasm-simd-threaded.wasm")};
ort.env.wasm.numThreads = 1; // several would ask the host of the page for headers of its own
const session = await ort.InferenceSession.create("model.onnx");
const blank = new Uint8Array(about.seen[0] * about.seen[1] * 3);
await session.run({image: new ort.Tensor("uint8", blank, [1, ...about.seen, 3])}); // the first is slow

// Where an image comes to lie in what the model sees: shrunk where it is larger and, where every image has to be of one
// size, in the middle and grown, too.
function placed(width, height) {
  const [rows, columns] = about.seen, [high, wide] = about.fitted ?? about.seen;
  const scale = Math.min(wide / width, high / height, about.fitted ? Infinity : 1);
  const inner = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const corner = about.fitted ? [(wide - inner[0]) >> 1, (high - inner[1]) >> 1] : [0, 0];
  return {rows, columns, inner, corner};
}

// The colours that are stored where an image is transparent, which a canvas loses.
function opaque(bitmap) {
  const {width, height} = bitmap, image = new ImageData(width, height);
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) {
    throw new Error("The image is partly transparent, and this browser loses its colours there: save it without.");
  }
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, image.data);
  for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
  return createImageBitmap(image);
}

// The image as the model takes it: its edge is repeated around it.
async function pixels(bitmap, place) {
  const {rows, columns, inner: [width, height], corner: [left, top]} = place;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const from = context.getImageData(0, 0, width, height).data;
  if (from.some((value, i) => i % 4 === 3 && value < 255)) return pixels(await opaque(bitmap), place);
  const to = new Uint8Array(rows * columns * 3);
  for (let y = 0, at = 0; y < rows; y++) {
    const row = Math.min(Math.max(y - top, 0), height - 1) * width;
    for (let x = 0; x < columns; x++) {
      const pixel = 4 * (row + Math.min(Math.max(x - left, 0), width - 1));
      to[at++] = from[pixel];
      to[at++] = from[pixel + 1];
      to[at++] = from[pixel + 2];
    }
  }
  return to;
}

async function find(bitmap) {
  const place = placed(bitmap.width, bitmap.height);
  const {rows, columns, inner: [width, height], corner: [left, top]} = place;
  const image = new ort.Tensor("uint8", await pixels(bitmap, place), [1, rows, columns, 3]);
  const outputs = await session.run({image});
  const found = {width: bitmap.width, height: bitmap.height, masks: [], boxes: [], size: [width, height]};
  if (outputs.mask) {
    const bands = outputs.mask.data.length / (rows * columns);
    for (let band = 0; band < bands; band++) {
      const mask = new Uint16Array(width * height);
      for (let y = 0, at = 0; y < height; y++) {
        for (let x = 0; x < width; x++) mask[at++] = outputs.mask.data[((y + top) * columns + x + left) * bands + band];
      }
      found.masks.push(mask);
    }
  }
  if (outputs.boxes) {
    const {boxes, labels, scores} = outputs, across = bitmap.width / width, down = bitmap.height / height;
    for (let i = 0; i < labels.data.length; i++) {
      const [x, y, w, h] = boxes.data.subarray(4 * i, 4 * i + 4);
      const [x0, x1] = [x, x + w].map((one) => Math.min(Math.max((one - left) * across, 0), bitmap.width));
      const [y0, y1] = [y, y + h].map((one) => Math.min(Math.max((one - top) * down, 0), bitmap.height));
      if (labels.data[i] < 0 || x1 <= x0 || y1 <= y0) continue;
      found.boxes.push({label: Number(labels.data[i]), score: scores.data[i], box: [x0, y0, x1 - x0, y1 - y0]});
    }
  }
  return found;
}
