// The page of experiments/view.py: what is chosen is loaded from this server and drawn by niivue.
"use strict";

(() => {
  const byId = (id) => document.getElementById(id);
  // Of the labels' values from 1 on, as in the project's pictures; further values begin again.
  const PALETTE = [[245, 195, 0], [40, 145, 240], [0, 185, 110], [240, 40, 130], [250, 130, 60],
    [160, 110, 250], [120, 215, 220], [190, 160, 120]];
  const STEPS = {
    ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0],
    PageUp: [0, 0, 1], PageDown: [0, 0, -1],
  };
  let list, viewer, usual;
  let current = 0;
  let loading = Promise.resolve();

  function tell(text, state) {
    byId("status").textContent = text;
    byId("status").classList.toggle("warning", state === "failed");
    document.documentElement.dataset.state = state;
  }

  function colourOf(value) {
    return PALETTE[(value - 1) % PALETTE.length];
  }

  function chosen() {
    const box = document.querySelector("input[name=volume]:checked");
    const label = byId("label").value;
    return {volume: Number(box.value), label: label === "" ? null : Number(label)};
  }

  function colourMap(values) {
    const [indices, colours] = [[0, ...values], [[0, 0, 0], ...values.map(colourOf)]];
    const channel = (k) => colours.map((colour) => colour[k]);
    return {R: channel(0), G: channel(1), B: channel(2), A: indices.map((i) => (i ? 255 : 0)),
      I: indices, labels: indices.map(String)};
  }

  function showColours(label) {
    byId("colours").replaceChildren(...(label?.values ?? []).map((value) => {
      const [item, colour] = [document.createElement("li"), document.createElement("i")];
      colour.style.backgroundColor = `rgb(${colourOf(value).join()})`;
      item.append(colour, String(value));
      return item;
    }));
    byId("centre").disabled = !label?.centre;
    byId("opacity").disabled = !label;
  }

  function goTo(millimetres) {
    viewer.scene.crosshairPos = viewer.mm2frac(millimetres);
    viewer.drawScene();
    viewer.createOnLocationChange();
  }

  function showPosition({mm, values}) {
    const words = [["left", "right"], ["back", "front"], ["down", "up"]];
    const side = (k) => words[k][Number(mm[k] > 0)];
    const place = words.map((_, k) => `${Math.abs(mm[k]).toFixed(0)} mm ${side(k)}`);
    const [value, label] = values.map((one) => Number(one.value.toPrecision(4)));
    const tail = label === undefined ? "" : `, label ${label}`;
    byId("position").textContent = `${place.join(", ")}: value ${value}${tail}`;
  }

  function showWindow() {
    const digits = (value) => Number(value.toPrecision(4));
    byId("low").value = digits(viewer.volumes[0].cal_min);
    byId("high").value = digits(viewer.volumes[0].cal_max);
  }

  function setWindow(low, high) {
    if (!(Number.isFinite(low) && Number.isFinite(high) && low < high)) {
      tell("The window must go from a lower to a higher number; change one of them", "loaded");
      return;
    }
    Object.assign(viewer.volumes[0], {cal_min: low, cal_max: high});
    viewer.updateGLVolume();
  }

  function describe(volume, label) {
    const spacing = volume.spacing.map((length) => Number(length.toPrecision(3)));
    const text = `${volume.name}: ${volume.size.join(" × ")} voxels of ${spacing.join(" × ")} mm`;
    const apart = label !== null && volume.other_grid.includes(label);
    return apart ? `${text}; the label has another grid and is shown where its file says` : text;
  }

  async function fetched(name) {
    const reply = await fetch(name);
    if (!reply.ok) {
      throw new Error(await reply.text());
    }
    return {name, url: await reply.arrayBuffer()};
  }

  async function show(position) {
    const {volume, label} = chosen();
    const [below, above] = [list.volumes[volume], label === null ? null : list.labels[label]];
    tell(`Loading ${below.name}`, "loading");
    const sources = [await fetched(`volume-${volume}.nii`)];
    if (above) {
      const opacity = byId("opacity").value / 100;
      sources.push({...await fetched(`label-${label}.nii`), opacity, colormap: "warm"});
    }
    await viewer.loadVolumes(sources);
    if (above?.values) {
      viewer.volumes[1].setColormapLabel(colourMap(above.values));
      viewer.updateGLVolume();
    }
    usual = [viewer.volumes[0].cal_min, viewer.volumes[0].cal_max];
    showColours(above);
    showWindow();
    goTo(position ?? above?.centre ?? viewer.frac2mm([0.5, 0.5, 0.5]).slice(0, 3));
    tell(describe(below, label), "loaded");
  }

  // One after the other: niivue's list of volumes is not made for two loads at a time.
  function showNext(keepPosition) {
    loading = loading.then(() => {
      const kept = keepPosition && viewer.volumes.length > 0;
      return show(kept ? Array.from(viewer.frac2mm(viewer.scene.crosshairPos)).slice(0, 3) : null);
    }).catch((error) => {
      tell(`This could not be shown (${error.message}); choose another volume`, "failed");
    });
    return loading;
  }

  function setLayout() {
    const layout = byId("layout").value;
    const types = {axial: viewer.sliceTypeAxial, coronal: viewer.sliceTypeCoronal,
      sagittal: viewer.sliceTypeSagittal};
    viewer.opts.multiplanarShowRender = layout === "surface" ? 1 : 0;
    viewer.setSliceType(types[layout] ?? viewer.sliceTypeMultiplanar);
  }

  function move(event) {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) {
      return;
    }
    event.preventDefault();
    // An arrow moves to its side of the screen.
    const side = byId("radiological").checked ? -1 : 1;
    viewer.moveCrosshairInVox(step[0] * side, step[1], step[2]);
  }

  function fill() {
    byId("volumes").replaceChildren(...list.volumes.map((volume, number) => {
      const [line, box] = [document.createElement("label"), document.createElement("input")];
      const name = document.createElement("span");
      Object.assign(box, {type: "radio", name: "volume", value: number, checked: number === 0});
      name.textContent = volume.name;
      line.append(box, name);
      return line;
    }));
    byId("label").replaceChildren(new Option("none", ""),
      ...list.labels.map((label, number) => new Option(label.name, number)));
    byId("label").disabled = list.labels.length === 0;
    byId("label").value = list.volumes[0].label ?? "";
  }

  function listen() {
    byId("volumes").addEventListener("change", () => {
      // What the person chose stays for the volumes of the same case; "none" stays for all.
      const [before, now] = [list.volumes[current].label, list.volumes[chosen().volume].label];
      current = chosen().volume;
      if (now !== before && !(byId("label").value === "" && before !== null)) {
        byId("label").value = now ?? "";
      }
      showNext(true);
    });
    byId("label").addEventListener("change", () => showNext(true));
    byId("opacity").addEventListener("input", () => {
      byId("percent").value = `${byId("opacity").value} %`;
      if (viewer.volumes.length > 1) {
        viewer.setOpacity(1, byId("opacity").value / 100);
      }
    });
    byId("centre").addEventListener("click", () => {
      const {label} = chosen();
      if (label !== null) {
        goTo(list.labels[label].centre);
      }
    });
    byId("layout").addEventListener("change", setLayout);
    byId("radiological").addEventListener("change", () => {
      viewer.setRadiologicalConvention(byId("radiological").checked);
    });
    for (const id of ["low", "high"]) {
      byId(id).addEventListener("change", () => {
        setWindow(byId("low").valueAsNumber, byId("high").valueAsNumber);
      });
    }
    byId("reset").addEventListener("click", () => {
      setWindow(...usual);
      showWindow();
    });
    byId("planes").addEventListener("keydown", move);
  }

  async function start() {
    if (!document.createElement("canvas").getContext("webgl2")) {
      throw new Error("this browser has no WebGL 2; open the page in another one");
    }
    list = await (await fetch("volumes.json")).json();
    viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.55, 0.77, 1, 0.7], crosshairWidth: 1,
      crosshairGap: 6, dragAndDropEnabled: false, loadingText: "", logLevel: "error",
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "",
      isRadiologicalConvention: true, multiplanarShowRender: 0, fontMinPx: 12,
      onLocationChange: showPosition,
    });
    viewer.onIntensityChange = showWindow;
    await viewer.attachToCanvas(byId("planes"));
    fill();
    listen();
    setLayout();
    await showNext(false);
  }

  start().catch((error) => tell(`The viewer did not start: ${error.message}`, "failed"));
})();
