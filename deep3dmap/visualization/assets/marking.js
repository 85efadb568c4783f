"use strict";
// Marks landmarks on photographs. Marks are pixels of the original photograph, with (0, 0) at its upper left corner.
(() => {
  const {views, landmarks, marks: given} = JSON.parse(document.querySelector("script.data").textContent);
  const one = (selector) => document.querySelector(selector);
  const stage = one(".stage"), photo = one(".photo"), layer = one(".marks"), body = document.body;
  const FACE = {right_eye: [86, 100], left_eye: [114, 100], nose_tip: [100, 137], nose_base: [100, 153], right_lips: [66, 178], left_lips: [134, 178]};
  const CLICK = 4;  // pixels that the mouse may move in a click
  let state = {view: 0, landmark: 0, marks: given, skipped: {}};
  let history = [], saved = true, shown = {scale: 1, x: 0, y: 0}, press = null;

  const side = (name) => name.startsWith("right") ? "right" : name.startsWith("left") ? "left" : "middle";
  const view = () => views[state.view], name = () => landmarks[state.landmark].name;
  const marksOf = (v) => state.marks[v.name] || {}, skippedIn = (v) => state.skipped[v.name] || [];
  const open = (v, n) => !(n in marksOf(v)) && !skippedIn(v).includes(n);
  const copy = (value) => JSON.parse(JSON.stringify(value));
  const document_ = () => JSON.stringify({marks: Object.fromEntries(views.filter((v) => Object.keys(marksOf(v)).length).map((v) => [v.name, marksOf(v)]))}, null, 1) + "\n";

  function remember() { history.push(copy(state)); if (history.length > 500) history.shift(); saved = false; }

  function put(v, n, uv) {
    const inside = [Math.min(Math.max(uv[0], 0), v.width), Math.min(Math.max(uv[1], 0), v.height)];
    state.marks[v.name] = {...marksOf(v), [n]: inside.map((x) => Math.round(100 * x) / 100)};
    state.skipped[v.name] = skippedIn(v).filter((other) => other !== n);
  }

  function advance() {  // to the next unmarked landmark of this photograph, else to the next photograph with one
    const n = landmarks.length;
    for (let i = 1; i <= n; i++) {
      const next = (state.landmark + i) % n;
      if (open(view(), landmarks[next].name)) { state.landmark = next; return; }
    }
    for (let i = 1; i < views.length; i++) {
      const next = (state.view + i) % views.length, first = landmarks.findIndex((l) => open(views[next], l.name));
      if (first >= 0) { state.view = next; state.landmark = first; fit(); return; }
    }
  }

  function place(uv) {
    if (uv[0] < 0 || uv[1] < 0 || uv[0] > view().width || uv[1] > view().height) return;
    remember(); put(view(), name(), uv); advance(); render();
  }
  function skip() { remember(); drop(); state.skipped[view().name] = [...skippedIn(view()), name()]; advance(); render(); }
  function drop() { const rest = {...marksOf(view())}; delete rest[name()]; state.marks[view().name] = rest; }
  function remove() { remember(); drop(); state.skipped[view().name] = skippedIn(view()).filter((n) => n !== name()); render(); }
  function undo() { const last = history.pop(); if (!last) return; const moved = last.view !== state.view; state = last; saved = false; if (moved) fit(); render(); }

  function choose(index) {
    state.view = (index + views.length) % views.length;
    const first = landmarks.findIndex((l) => open(view(), l.name));
    state.landmark = Math.max(first, 0);
    fit(); render();
  }

  function download() {
    const link = document.createElement("a"), address = URL.createObjectURL(new Blob([document_()], {type: "application/json"}));
    link.href = address; link.download = "marks.json"; link.click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    saved = true;
  }

  // ---- Display
  function fit() {
    const w = stage.clientWidth, h = stage.clientHeight, scale = 0.98 * Math.min(w / view().width, h / view().height);
    shown = {scale, x: (w - scale * view().width) / 2, y: (h - scale * view().height) / 2};
  }
  function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const least = 0.5 * Math.min(stage.clientWidth / view().width, stage.clientHeight / view().height);
    const scale = Math.min(Math.max(shown.scale * factor, least), 40);
    shown = {scale, x: x - (x - shown.x) * scale / shown.scale, y: y - (y - shown.y) * scale / shown.scale};
    draw();
  }
  const toPicture = (x, y) => [(x - shown.x) / shown.scale, (y - shown.y) / shown.scale];

  function draw() {
    if (photo.dataset.view !== String(state.view)) { photo.src = view().image; photo.dataset.view = state.view; photo.alt = view().name; }
    Object.assign(photo.style, {left: `${shown.x}px`, top: `${shown.y}px`, width: `${shown.scale * view().width}px`, height: `${shown.scale * view().height}px`});
    photo.style.imageRendering = shown.scale * view().width > 3 * photo.naturalWidth && photo.naturalWidth ? "pixelated" : "auto";
    layer.replaceChildren(...Object.entries(marksOf(view())).map(([n, [u, v]]) => {
      const mark = document.createElement("div"), label = document.createElement("span");
      mark.className = "mark" + (n === name() ? " current" : "");
      mark.dataset.name = n; mark.dataset.side = side(n); label.textContent = n;
      Object.assign(mark.style, {left: `${shown.x + shown.scale * u}px`, top: `${shown.y + shown.scale * v}px`});
      mark.append(label);
      return mark;
    }));
  }

  function render() {
    draw();
    const done = views.reduce((sum, v) => sum + Object.keys(marksOf(v)).length, 0);
    const ready = landmarks.filter((l) => views.filter((v) => l.name in marksOf(v)).length >= 2).length;
    one(".progress").textContent = `${done} marks; ${ready} of ${landmarks.length} landmarks in two or more photographs`;
    one(".message").textContent = ready === landmarks.length && !views.some((v) => landmarks.some((l) => open(v, l.name))) ? "All done: download the marks." : "";
    one(".hint").innerHTML = "<strong></strong><br><span></span>";
    one(".hint").dataset.side = side(name());
    one(".hint strong").textContent = name();
    one(".hint span").textContent = landmarks[state.landmark].hint;
    one(".file").textContent = document_();
    document.querySelectorAll(".names button").forEach((button, i) => {
      const n = landmarks[i].name;
      button.setAttribute("aria-current", i === state.landmark);
      button.dataset.state = n in marksOf(view()) ? "marked" : skippedIn(view()).includes(n) ? "skipped" : "open";
    });
    document.querySelectorAll(".face circle").forEach((c) => c.classList.toggle("current", c.dataset.name === name()));
    document.querySelectorAll(".views button").forEach((button, i) => {
      button.setAttribute("aria-current", i === state.view);
      button.querySelector("span").textContent = `${views[i].name} (${Object.keys(marksOf(views[i])).length})`;
    });
    Object.assign(body.dataset, {view: view().name, landmark: name(), scale: shown.scale, x: shown.x, y: shown.y});
  }

  function build() {
    one(".views").append(...views.map((v, i) => {
      const button = document.createElement("button"), image = document.createElement("img"), label = document.createElement("span");
      button.type = "button"; image.src = v.image; image.alt = ""; image.loading = "lazy";
      button.append(image, label);
      button.addEventListener("click", () => choose(i));
      return button;
    }));
    one(".names").append(...landmarks.map((l, i) => {
      const button = document.createElement("button"), dot = document.createElement("i"), key = document.createElement("kbd");
      button.type = "button"; button.dataset.side = side(l.name); button.dataset.name = l.name; key.textContent = i + 1;
      button.append(dot, l.name, key);
      button.addEventListener("click", () => { state.landmark = i; render(); });
      return button;
    }));
    one(".face").append(...landmarks.map((l) => {
      const circle = document.createElementNS("http://www.w3.org/2000/svg", "circle"), [x, y] = FACE[l.name];
      circle.setAttribute("cx", x); circle.setAttribute("cy", y); circle.setAttribute("r", 6);
      circle.dataset.name = l.name; circle.dataset.side = side(l.name);
      return circle;
    }));
  }

  // ---- Pointer and keyboard input
  const at = (event) => { const box = stage.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    const [x, y] = at(event), mark = event.target.closest(".mark");
    press = {x, y, from: {...shown}, moved: event.button === 1, mark: mark && mark.dataset.name};
    if (mark) {
      const [u, v] = marksOf(view())[mark.dataset.name];
      press.grip = [shown.x + shown.scale * u - x, shown.y + shown.scale * v - y];
    }
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (!press) return;
    const [x, y] = at(event), was = press.moved;
    press.moved = press.moved || Math.hypot(x - press.x, y - press.y) > (press.mark ? 1 : CLICK);
    if (!press.moved) return;
    if (press.mark) {
      if (!was) { remember(); state.landmark = landmarks.findIndex((l) => l.name === press.mark); }
      put(view(), press.mark, toPicture(x + press.grip[0], y + press.grip[1]));
      render();
    } else {
      shown = {...press.from, x: press.from.x + x - press.x, y: press.from.y + y - press.y};
      render();
    }
  });
  stage.addEventListener("pointerup", (event) => {
    const ended = press; press = null;
    if (!ended || ended.moved) return;
    if (ended.mark) { state.landmark = landmarks.findIndex((l) => l.name === ended.mark); render(); } else place(toPicture(...at(event)));
  });
  stage.addEventListener("pointercancel", () => { press = null; });
  stage.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-0.0015 * event.deltaY), ...at(event)); render(); }, {passive: false});

  const KEYS = {s: skip, z: undo, u: undo, Backspace: undo, Delete: remove, ArrowLeft: () => choose(state.view - 1), ArrowRight: () => choose(state.view + 1),
    "+": () => { zoom(1.3); render(); }, "-": () => { zoom(1 / 1.3); render(); }, 0: () => { fit(); render(); }};
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey && event.key !== "z" || event.ctrlKey && event.key !== "z") return;
    const index = Number(event.key) - 1;
    if (index >= 0 && index < landmarks.length) { state.landmark = index; render(); return; }
    const action = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
  });
  const ACTIONS = {undo, download, skip, remove};
  document.querySelectorAll("[data-action]").forEach((button) => button.addEventListener("click", () => { ACTIONS[button.dataset.action](); stage.focus(); }));
  window.addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
  window.addEventListener("resize", () => { fit(); render(); });

  build(); choose(0);
  body.dataset.ready = "true";
})();
