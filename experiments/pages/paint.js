// The page of experiments/paint.py: a label is painted here, and drawn as images by the server.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  const SCALE = 6; // pixels of a canvas per pixel of a slice
  const KEPT = 100; // steps that can be undone
  const SEEDS = 2 ** 31;
  const MOVES = {left: [0, -1], right: [0, 1], up: [-1, 0], down: [1, 0]};
  const KEYS = {u: "undo", y: "redo", r: "random", x: "clear", "+": "grow", "=": "grow",
    "-": "shrink", m: "mirror", b: "brain", n: "noise"};
  const FOUND = "#ffe14d";
  let settings, height, width;
  // The step that is shown: label, brain and noise. Arrays of a step are never changed.
  let now = {label: null, brain: null, seed: 0};
  let past = [], future = [];
  // What is being painted, by which pointer; where the keyboard stands.
  let stroke = null, pointer = null, cursor = null;
  let answer = null, waiting = false, stale = false;
  let acting = Promise.resolve(), notice = "";

  function tell(text, state) {
    byId("status").textContent = text;
    byId("status").classList.toggle("warning", state === "failed");
    document.documentElement.dataset.state = state;
  }

  function unpacked(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  function packed(bytes) {
    let text = "";
    for (let start = 0; start < bytes.length; start += 8192) {
      text += String.fromCharCode(...bytes.subarray(start, start + 8192));
    }
    return btoa(text);
  }

  async function asked(path, content) {
    return content ? patiently(path, content) : checked(await fetch(path));
  }

  async function checked(reply) {
    if (!reply.ok) {
      throw new Error((await reply.text()).trim());
    }
    return reply;
  }

  // A server that has much to do says when to come again.
  async function patiently(path, content) {
    for (let tries = 0; ; tries++) {
      const reply = await fetch(path, {method: "POST", body: JSON.stringify(content)});
      if (reply.status !== 503 || tries === 3) {
        return checked(reply);
      }
      const seconds = Number(reply.headers.get("Retry-After")) || 1;
      await new Promise((done) => setTimeout(done, 1000 * seconds));
    }
  }

  function content() {
    return {brain: now.brain.number, seed: now.seed, label: packed(stroke ?? now.label)};
  }

  // Images of slices.

  function pictured(colourOf) {
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      image.data.set([...colourOf(i), 255], 4 * i);
    }
    const sheet = new OffscreenCanvas(width, height);
    sheet.getContext("2d").putImageData(image, 0, 0);
    return sheet;
  }

  function draw(canvas, sheet, smooth) {
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    context.drawImage(sheet, 0, 0, canvas.width, canvas.height);
    return context;
  }

  function outline(context, mask, colour) {
    const inside = (y, x) => y >= 0 && x >= 0 && y < height && x < width && mask[y * width + x] > 0;
    context.beginPath();
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!inside(y, x)) {
          continue;
        }
        const edges = [[y - 1, x, 0, 0, 0, 1], [y + 1, x, 1, 0, 1, 1], [y, x - 1, 0, 0, 1, 0],
          [y, x + 1, 0, 1, 1, 1]];
        for (const [v, u, a, b, c, d] of edges) {
          if (!inside(v, u)) {
            context.moveTo((x + b) * SCALE, (y + a) * SCALE);
            context.lineTo((x + d) * SCALE, (y + c) * SCALE);
          }
        }
      }
    }
    Object.assign(context, {strokeStyle: colour, lineWidth: 2});
    context.stroke();
  }

  function greyBelow() {
    const {structure, outside} = now.brain;
    const lines = (i) => (outside[i] ? 18 : structure[i] ? 210 : 95);
    const chosen = byId("below").value;
    const image = answer && answer.brain === now.brain && chosen !== "" && answer.images[chosen];
    return image ? (i) => image[i] : lines;
  }

  function drawPaper() {
    const [label, grey, outside] = [stroke ?? now.label, greyBelow(), now.brain.outside];
    const colour = (i) => settings.colours[label[i]].map((part) => 0.55 * part + 0.45 * grey(i));
    const sheet = pictured((i) => (label[i] ? colour(i) : [grey(i), grey(i), grey(i)]));
    const context = draw(byId("paper"), sheet, false);
    outline(context, outside.map((one) => 1 - one), "#5a6670");
    if (cursor) {
      const radius = byId("brush").value / 2;
      context.beginPath();
      context.arc((cursor[1] + 0.5) * SCALE, (cursor[0] + 0.5) * SCALE, radius * SCALE, 0, 7);
      Object.assign(context, {strokeStyle: "#8cc4ff", lineWidth: 2});
      context.stroke();
    }
  }

  function drawAnswers() {
    if (!answer) {
      return;
    }
    settings.sequences.forEach((name, k) => {
      const image = answer.images[k];
      const sheet = pictured((i) => [image[i], image[i], image[i]]);
      const context = draw(byId(`image-${k}`), sheet, true);
      if (byId("outlines").checked) {
        outline(context, answer.found[k], FOUND);
      }
      const score = answer.dice[k];
      byId(`dice-${k}`).textContent = score === null ? "" : `Dice ${score.toFixed(2)}`;
    });
  }

  // Asking for images: one request at a time, then one for what has changed since.

  async function render() {
    if (waiting) {
      stale = true;
      return;
    }
    waiting = true;
    document.documentElement.dataset.state = "drawing";
    try {
      do {
        stale = false;
        const brain = now.brain;
        const reply = await (await patiently("render", content())).json();
        answer = {brain, images: reply.images.map(unpacked), found: reply.found.map(unpacked),
          dice: reply.dice};
        drawAnswers();
        drawPaper();
        tell(notice + summary(reply), stale || stroke ? "drawing" : "drawn");
      } while (stale);
    } catch (error) {
      tell(`This could not be drawn: ${error.message}`, "failed");
    } finally {
      waiting = false;
      if (stale) {
        render();
      }
    }
  }

  function summary({dice, milliseconds}) {
    const time = `drawn in ${milliseconds} ms`;
    if (dice.some((score) => score === null)) {
      return `A brain without lesion, ${time}`;
    }
    const mean = dice.reduce((sum, score) => sum + score, 0) / dice.length;
    return `Did the images follow the label? Mean Dice ${mean.toFixed(2)}, ${time}`;
  }

  // Steps, and going back.

  function step(change) {
    past = [...past.slice(1 - KEPT), now];
    future = [];
    now = {...now, ...change};
    notice = "";
    shown();
  }

  // One action after the other, each on what the one before has left; none during a stroke.
  function act(action) {
    acting = acting.then(() => (stroke ? null : action())).catch((error) => {
      tell(error.message, "failed");
    });
  }

  function go(from, to) {
    if (from.length > 0) {
      to.push(now);
      now = from.pop();
      notice = "";
      shown();
    }
  }

  function shown() {
    byId("number").value = now.brain.number;
    const empty = !now.label.some((value) => value > 0);
    const needing = {undo: past.length === 0, redo: future.length === 0, clear: empty, grow: empty,
      shrink: empty, mirror: empty, left: empty, right: empty, up: empty, down: empty};
    for (const [id, off] of Object.entries(needing)) {
      if (off && document.activeElement === byId(id)) { // the keyboard would lose its place
        byId("paper").focus();
      }
      byId(id).disabled = off;
    }
    drawPaper();
    render();
  }

  // Painting.

  function tissue() {
    return Number(document.querySelector("input[name=tissue]:checked").value);
  }

  function dab(y, x) {
    const [radius, value] = [byId("brush").value / 2, tissue()];
    for (let v = Math.ceil(y - radius); v <= y + radius; v++) {
      for (let u = Math.ceil(x - radius); u <= x + radius; u++) {
        const i = v * width + u;
        const near = (v - y) ** 2 + (u - x) ** 2 <= radius ** 2;
        if (near && v >= 0 && u >= 0 && v < height && u < width && !now.brain.outside[i]) {
          stroke[i] = value;
        }
      }
    }
  }

  function line([y, x], [v, u]) {
    const steps = Math.max(1, Math.ceil(Math.hypot(v - y, u - x)));
    for (let k = 0; k <= steps; k++) {
      dab(y + ((v - y) * k) / steps, x + ((u - x) * k) / steps);
    }
  }

  function placeOf(event) {
    const [box, canvas] = [event.target.getBoundingClientRect(), event.target];
    // The canvas keeps its shape within its box, at the top.
    const scale = Math.min(box.width / canvas.width, box.height / canvas.height);
    const left = box.left + (box.width - canvas.width * scale) / 2;
    return [(event.clientY - box.top) / scale / SCALE - 0.5, (event.clientX - left) / scale / SCALE - 0.5];
  }

  function begin(event) {
    if (event.button !== 0 || stroke) {
      return;
    }
    pointer = event.pointerId;
    event.target.setPointerCapture(pointer);
    stroke = now.label.slice();
    cursor = placeOf(event);
    dab(...cursor);
    changed();
  }

  function paint(event) {
    if (stroke && event.pointerId !== pointer) { // a second finger, or the palm
      return;
    }
    const place = placeOf(event);
    if (stroke) {
      line(cursor, place);
      changed();
    } else {
      drawPaper();
    }
    cursor = place;
  }

  function changed() {
    drawPaper();
    render();
  }

  function end(event) {
    if (stroke && (!event || event.pointerId === pointer)) {
      const label = stroke;
      stroke = null;
      step({label});
    }
  }

  function onPaperKey(event) {
    const by = event.shiftKey ? 5 : 1;
    const arrows = {ArrowLeft: [0, -by], ArrowRight: [0, by], ArrowUp: [-by, 0], ArrowDown: [by, 0]};
    const place = cursor ?? [height >> 1, width >> 1];
    if (arrows[event.key]) {
      const [y, x] = arrows[event.key];
      cursor = [Math.min(Math.max(Math.round(place[0]) + y, 0), height - 1),
        Math.min(Math.max(Math.round(place[1]) + x, 0), width - 1)];
      drawPaper();
    } else if (event.key === " " && stroke) {
      return;
    } else if (event.key === " ") {
      cursor = place;
      stroke = now.label.slice();
      dab(...place);
      end();
    } else {
      return;
    }
    event.preventDefault();
  }

  // What the server makes of the label.

  async function change(path, more) {
    const before = now;
    const reply = await (await asked(path, {...content(), ...more})).json();
    if (now === before && !stroke) { // else a person has painted on in the meantime
      step({label: unpacked(reply.label)});
    }
  }

  async function fetchBrain(number) {
    const {structure, outside} = await (await asked(`brain?number=${number}`)).json();
    return {number, structure: unpacked(structure), outside: unpacked(outside)};
  }

  async function anotherBrain() {
    const brain = await fetchBrain((now.brain.number + 1) % SEEDS);
    if (stroke) {
      return;
    }
    const lost = now.label.filter((value, i) => value && brain.outside[i]).length;
    step({brain, label: now.label.map((value, i) => (brain.outside[i] ? 0 : value))});
    notice = lost ? `${lost} pixels of the lesion lie outside of this brain and are left out. ` : "";
  }

  async function download(kind) {
    const variations = byId("variations").valueAsNumber;
    if (!(variations >= 1 && variations <= settings.most)) {
      tell(`Brains must be a number from 1 to ${settings.most}`, "failed");
      return;
    }
    tell("Drawing for the download", "drawing");
    try {
      const reply = await patiently("download", {...content(), kind, variations});
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await reply.blob());
      link.download = /filename="([^"]+)"/.exec(reply.headers.get("Content-Disposition"))[1];
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
      const drawn = reply.headers.get("X-Brains");
      const fewer = Number(drawn) < variations ? `; only ${drawn} brains that fit were found` : "";
      tell(`${link.download} is downloaded${fewer}`, "drawn");
    } catch (error) {
      tell(error.message, "failed");
    }
  }

  function seed() {
    return Math.floor(Math.random() * SEEDS);
  }

  function actions() {
    const acts = {
      undo: () => go(past, future),
      redo: () => go(future, past),
      random: () => change("random", {seed: seed()}),
      clear: () => step({label: new Uint8Array(width * height)}),
      grow: () => change("change", {change: "grow:1.3"}),
      shrink: () => change("change", {change: "shrink:0.75"}),
      mirror: () => change("change", {change: "mirror"}),
      brain: anotherBrain,
      noise: () => step({seed: seed()}),
      npz: () => download("npz"),
      nii: () => download("nii"),
    };
    for (const [id, [y, x]] of Object.entries(MOVES)) {
      acts[id] = () => change("change", {change: `move:${2 * y}:${2 * x}`});
    }
    return acts;
  }

  function onKey(event) {
    const typing = event.target.matches("input[type=number], select");
    const command = event.ctrlKey || event.metaKey;
    const letter = event.key.toLowerCase();
    if (command && letter === "z") {
      byId(event.shiftKey ? "redo" : "undo").click();
    } else if (typing || command || event.altKey) {
      return;
    } else if (/^[0-4]$/.test(letter)) {
      document.querySelector(`input[name=tissue][value="${letter}"]`).click();
    } else if (letter === "[" || letter === "]") {
      byId("brush").value = Number(byId("brush").value) + (letter === "]" ? 1 : -1);
      showBrush();
    } else if (KEYS[letter]) {
      byId(KEYS[letter]).click();
    } else {
      return;
    }
    event.preventDefault();
  }

  function showBrush() {
    byId("width").value = byId("brush").value;
    drawPaper();
  }

  // The page is filled with what the run has.

  function fill() {
    byId("notice").textContent = settings.notice;
    byId("variations").max = settings.most;
    const names = settings.classes.map((name, value) => (value ? name : "erase"));
    byId("tissues").replaceChildren(...[1, 2, 3, 4, 0].map((value) => {
      const [line, box, colour] = ["label", "input", "i"].map((tag) => document.createElement(tag));
      Object.assign(box, {type: "radio", name: "tissue", value, checked: value === 4});
      colour.style.backgroundColor = `rgb(${settings.colours[value].join()})`;
      line.append(box, colour, names[value]);
      return line;
    }));
    byId("below").replaceChildren(new Option("structure map", ""),
      ...settings.sequences.map((name, k) => new Option(name, k)));
    byId("below").value = settings.sequences.length - 1;
    byId("answers").replaceChildren(...settings.sequences.map((name, k) => {
      const [figure, canvas, caption, score] = ["figure", "canvas", "figcaption", "span"]
        .map((tag) => document.createElement(tag));
      Object.assign(canvas, {id: `image-${k}`, width: width * SCALE, height: height * SCALE});
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${name} of the painted lesion`);
      score.id = `dice-${k}`;
      caption.append(name, score);
      figure.append(canvas, caption);
      return figure;
    }));
    Object.assign(byId("paper"), {width: width * SCALE, height: height * SCALE});
  }

  function listen() {
    for (const [id, action] of Object.entries(actions())) {
      byId(id).addEventListener("click", () => act(action));
    }
    const paper = byId("paper");
    paper.addEventListener("pointerdown", begin);
    paper.addEventListener("pointermove", paint);
    paper.addEventListener("pointerup", end);
    paper.addEventListener("pointercancel", end);
    paper.addEventListener("keydown", onPaperKey);
    byId("brush").addEventListener("input", showBrush);
    byId("below").addEventListener("change", drawPaper);
    byId("outlines").addEventListener("change", drawAnswers);
    document.addEventListener("keydown", onKey);
  }

  async function start() {
    settings = await (await asked("settings.json")).json();
    [height, width] = settings.size;
    now = {label: new Uint8Array(width * height), brain: await fetchBrain(0), seed: 0};
    fill();
    listen();
    shown();
  }

  start().catch((error) => tell(`The page did not start: ${error.message}`, "failed"));
})();
