"use strict";

const at = (id) => document.getElementById(id);
const given = { portrait: null, voice: null, "style-file": null, "pose-file": null }; // files, by the field that took them

let sent = new WeakMap(); // the ids of files that are there already
let busy = false;

function mayMake() {
  at("make").disabled = busy || !(given.portrait && given.voice && at("consent").checked);
}

function take(id, file) {
  if (!file) return;
  given[id] = file;
  const shown = at(id + "-shown");
  if (shown) {
    if (shown.src) URL.revokeObjectURL(shown.src);
    shown.src = URL.createObjectURL(file);
    shown.hidden = false;
    at(id + "-drop").querySelector("span").textContent = file.name;
  }
  mayMake();
}

for (const id of Object.keys(given)) at(id).addEventListener("change", (event) => take(id, event.target.files[0]));

for (const id of ["portrait", "voice"]) {
  const drop = at(id + "-drop");
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(id, event.dataTransfer.files[0]);
  });
}

for (const id of ["style", "pose"]) {
  at(id).addEventListener("change", () => { at(id + "-file").hidden = at(id).value !== "file"; });
}
at("intensity").addEventListener("input", () => { at("intensity-shown").value = Number(at("intensity").value).toFixed(1); });
at("consent").addEventListener("change", mayMake);

async function ask(url, options) {
  const answer = await fetch(url, options);
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(content.error || "the page's program did not answer as expected");
  return content;
}

async function upload(file) {
  if (!sent.has(file)) sent.set(file, (await ask("files?name=" + encodeURIComponent(file.name), { method: "PUT", body: file })).id);
  return sent.get(file);
}

async function chosen(id) {
  if (at(id).value !== "file") return at(id).value;
  if (!given[id + "-file"]) throw new Error("choose the file that the " + (id === "pose" ? "head movement" : "style") + " comes from");
  return upload(given[id + "-file"]);
}

async function make() {
  const order = {
    portrait: await upload(given.portrait),
    voice: await upload(given.voice),
    style: await chosen("style"),
    pose: await chosen("pose"),
    intensity: Number(at("intensity").value),
    frame: at("frame").value,
    renderer: at("renderer").value,
    blinks: at("blinks").checked,
    seed: Number(at("seed").value),
  };
  const head = await ask("heads", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(order) });
  for (;;) {
    const state = await ask("heads/" + head.id);
    at("what").textContent = state.what;
    at("share").value = state.share;
    if (state.error) throw new Error(state.error);
    if (state.done) return { url: "heads/" + head.id + "/video.mp4", remarks: state.remarks };
    await new Promise((go) => setTimeout(go, 300));
  }
}

at("order").addEventListener("submit", async (event) => {
  event.preventDefault();
  for (const id of ["error", "video", "download"]) at(id).hidden = true;
  at("remarks").textContent = "";
  at("what").textContent = "sending the files";
  at("share").value = 0;
  at("working").hidden = false;
  busy = true;
  mayMake();
  try {
    const made = await make();
    at("video").src = at("download").href = made.url;
    at("video").hidden = at("download").hidden = false;
    at("remarks").textContent = made.remarks.join("; ");
    at("video").play().catch(() => {}); // a browser may want a click first
  } catch (error) {
    sent = new WeakMap(); // the program may be another one by now, without them
    at("error").textContent = error.message;
    at("error").hidden = false;
  }
  at("working").hidden = true;
  busy = false;
  mayMake();
});

ask("choices").then(({ styles }) => {
  for (const style of styles) at("style").insertBefore(new Option(style.replace("/", ", level "), style), at("style").lastElementChild);
});
