// The classes of a mask by the colours of its PNG; what has none of theirs has no class.
async function classes(png, colours) {
  const bytes = Uint8Array.from(atob(png), (one) => one.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: "image/png"}), {colorSpaceConversion: "none"});
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const {data} = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const known = new Map(colours.map((colour, i) => [parseInt(colour.slice(1), 16), i]).reverse());
  const mask = new Uint16Array(bitmap.width * bitmap.height);
  for (let i = 0; i < mask.length; i++) {
    mask[i] = known.get((data[4 * i] << 16) | (data[4 * i + 1] << 8) | data[4 * i + 2]) ?? 65535;
  }
  return {mask, size: [bitmap.width, bitmap.height]};
}

async function find(bitmap, file) {
  let body = file;
  if (!body) {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    body = await canvas.convertToBlob({type: "image/png"});
  }
  const headers = {"Content-Type": body.type || "application/octet-stream"};
  const response = await fetch("predict?output=json", {method: "POST", headers, body});
  const said = await response.json();
  if (!response.ok) throw new Error(said.error);
  const found = {width: said.width, height: said.height, masks: [], boxes: said.boxes ?? [], size: [0, 0]};
  for (const [i, {png, painted}] of (said.masks ?? []).entries()) {
    const colours = about.pixels.classes.map(({colour}) => colour);
    const {mask, size} = await classes(painted ?? png, about.pixels.overlap ? ["#282828", colours[i]] : colours);
    found.masks.push(mask);
    found.size = size;
  }
  return found;
}
