/* The mesh viewer of deep3dmap's reports: WebGL2, no library.

   For each .viewer in the page: a canvas, buttons, a JSON header and base64 data (written by visualization/viewer.py). Its
   state can be read from the element's data attributes: state (waiting, ready, unsupported, failed, lost), triangles, mode,
   frames, rotation (the quaternion x,y,z,w that takes the mesh into the camera's frame), distance, pan, touched. */
"use strict";

(() => {
  const VERTEX_SHADER = `#version 300 es
    layout(location = 0) in vec3 position;
    layout(location = 1) in vec3 color;
    layout(location = 2) in vec3 normal;
    layout(location = 3) in vec2 error;
    uniform vec3 low, extent, shift;
    uniform mat3 rotation;
    uniform mat4 projection;
    uniform vec4 line;
    out vec3 vColor, vNormal, vPoint;
    out vec2 vError;
    void main() {
      vPoint = rotation * (low + position * extent) + shift;
      vNormal = rotation * normal;
      vColor = color;
      vError = error;
      gl_Position = projection * vec4(vPoint, 1.0);
      if (line.a > 0.0) gl_Position.z -= 0.0008 * gl_Position.w;  // lines in front of the triangles that they bound
    }`;

  // A key light from the upper left, a weak fill light from the lower right, and rim light, all fixed to the camera.
  const FRAGMENT_SHADER = `#version 300 es
    precision highp float;
    in vec3 vColor, vNormal, vPoint;
    in vec2 vError;
    uniform int mode;
    uniform highp vec4 line;
    uniform sampler2D errorColors;
    out vec4 result;
    void main() {
      if (line.a > 0.0) { result = line; return; }
      vec3 eye = normalize(-vPoint), n = normalize(vNormal);
      if (dot(n, eye) < -0.15) n = -n;
      float facing = max(dot(n, eye), 0.0);
      float key = max(dot(n, normalize(vec3(-0.45, 0.6, 0.75))) * 0.8 + 0.2, 0.0);
      float fill = max(dot(n, normalize(vec3(0.7, -0.35, 0.4))), 0.0);
      if (mode == 0) {
        result = vec4(vColor * (0.78 + 0.22 * facing), 1.0);
      } else if (mode == 1) {
        vec3 halfway = normalize(eye + normalize(vec3(-0.45, 0.6, 0.75)));
        float shine = pow(max(dot(n, halfway), 0.0), 40.0);
        vec3 clay = vec3(0.80, 0.78, 0.75) * (0.26 + 0.72 * key) + vec3(0.10, 0.13, 0.18) * fill;
        result = vec4(clay + 0.12 * shine + 0.10 * pow(1.0 - facing, 3.0), 1.0);
      } else if (mode == 2) {
        result = vec4(0.5 + 0.5 * n, 1.0);
      } else {
        vec3 shown = texture(errorColors, vec2((vError.x * 255.0 + 0.5) / 256.0, 0.5)).rgb;
        result = vec4(mix(vec3(0.59), shown, step(0.5, vError.y)) * (0.55 + 0.45 * key), 1.0);
      }
    }`;

  const MODES = ["color", "shaded", "normals", "error"];
  const FIELD_OF_VIEW = 30 * Math.PI / 180;
  const FARTHEST = 28, NEAREST = 0.25;

  // ---- Small linear algebra: quaternions are [x, y, z, w], matrices column by column.

  const normalize = (v) => { const n = Math.hypot(...v) || 1; return v.map((x) => x / n); };
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];

  function turn(axis, angle) {
    const s = Math.sin(angle / 2);
    return [axis[0] * s, axis[1] * s, axis[2] * s, Math.cos(angle / 2)];
  }

  function multiply(a, b) {
    return normalize([
      a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
      a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
      a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
      a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2]]);
  }

  function matrixOf([x, y, z, w]) {
    return [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w),
      2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w),
      2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)];
  }

  // The quaternion of the rotation whose rows are the camera's axes in the mesh's frame (Shepperd's choice of the largest).
  function quaternionOf(right, up, back) {
    const m = [right, up, back], t = m[0][0] + m[1][1] + m[2][2];
    if (t > 0) {
      return normalize([m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1], 1 + t]);
    }
    const i = m[0][0] >= m[1][1] && m[0][0] >= m[2][2] ? 0 : m[1][1] >= m[2][2] ? 1 : 2, j = (i + 1) % 3, k = (i + 2) % 3;
    const q = [0, 0, 0, m[k][j] - m[j][k]];
    q[i] = 1 + m[i][i] - m[j][j] - m[k][k];
    q[j] = m[i][j] + m[j][i];
    q[k] = m[i][k] + m[k][i];
    return normalize(q);
  }

  // The initial view, from slightly above, with up vertical. Without up: the mesh's y is up and its z points to the viewer.
  function initialRotation(header) {
    const up = header.up || [0, 1, 0];
    const right = normalize(cross(up, Math.abs(up[2]) > 0.9 ? [0, -1, 0] : [0, 0, 1])), back = cross(right, up);
    return multiply(turn([1, 0, 0], header.oneSided ? 0.7 : 0.22), quaternionOf(right, up, back));
  }

  function projectionOf(aspect, distance) {
    const near = Math.max(distance * 0.02, distance - 3), far = distance + 6;
    const f = 1 / Math.tan(FIELD_OF_VIEW / 2);
    return [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0];
  }

  // ---- Data

  function bytesOf(base64) {
    const text = atob(base64.trim()), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  function unpack(header, base64) {
    const bytes = bytesOf(base64), v = header.vertices;
    let offset = 0;
    const take = (size) => bytes.slice(offset, offset += size);
    const mesh = { positions: take(6 * v), colors: take(3 * v), normals: take(3 * v) };
    mesh.errors = header.error ? take(2 * v) : new Uint8Array(2 * v);
    const rest = bytes.slice(offset).buffer;
    mesh.triangles = v <= 65536 ? new Uint16Array(rest) : new Uint32Array(rest);
    if (mesh.triangles.length !== 3 * header.triangles) throw new Error("the mesh's data are damaged");
    return mesh;
  }

  function edgesOf(triangles) {
    const edges = new triangles.constructor(2 * triangles.length);
    for (let t = 0, e = 0; t < triangles.length; t += 3) {
      for (let k = 0; k < 3; k++) {
        edges[e++] = triangles[t + k];
        edges[e++] = triangles[t + (k + 1) % 3];
      }
    }
    return edges;
  }

  // ---- WebGL

  function compile(gl, kind, source) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source.trim());
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getShaderInfoLog(shader));
    }
    return shader;
  }

  function link(gl) {
    const program = gl.createProgram();
    gl.attachShader(program, compile(gl, gl.VERTEX_SHADER, VERTEX_SHADER));
    gl.attachShader(program, compile(gl, gl.FRAGMENT_SHADER, FRAGMENT_SHADER));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      throw new Error(gl.getProgramInfoLog(program));
    }
    return program;
  }

  class Unsupported extends Error {}

  // The mesh in GPU buffers, and its drawing.
  class Painter {
    constructor(canvas, header, mesh) {
      const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, preserveDrawingBuffer: true });
      if (!gl) throw new Unsupported();
      this.gl = gl;
      this.header = header;
      this.mesh = mesh;
      this.program = link(gl);
      const names = ["low", "extent", "shift", "rotation", "projection", "mode", "line", "errorColors"];
      this.at = Object.fromEntries(names.map((n) => [n, gl.getUniformLocation(this.program, n)]));
      this.vertexArray = gl.createVertexArray();
      gl.bindVertexArray(this.vertexArray);
      this.attribute(0, mesh.positions, 3, gl.UNSIGNED_SHORT);
      this.attribute(1, mesh.colors, 3, gl.UNSIGNED_BYTE);
      this.attribute(2, mesh.normals, 3, gl.BYTE);
      this.attribute(3, mesh.errors, 2, gl.UNSIGNED_BYTE);
      this.triangles = this.indices(mesh.triangles);
      this.edges = null;
      if (header.error) this.errorColors(bytesOf(header.error.colors));
      gl.enable(gl.DEPTH_TEST);
      if (header.oneSided) gl.enable(gl.CULL_FACE);
      gl.clearColor(0, 0, 0, 0);
    }

    attribute(location, data, size, type) {
      const gl = this.gl;
      gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, type, true, 0, 0);
    }

    indices(array) {
      const gl = this.gl, buffer = gl.createBuffer();
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, array, gl.STATIC_DRAW);
      return { buffer, count: array.length, type: array instanceof Uint16Array ? gl.UNSIGNED_SHORT : gl.UNSIGNED_INT };
    }

    errorColors(table) {
      const gl = this.gl;
      gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
      gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, table);
      for (const [name, value] of [["MIN_FILTER", "LINEAR"], ["MAG_FILTER", "LINEAR"], ["WRAP_S", "CLAMP_TO_EDGE"]]) {
        gl.texParameteri(gl.TEXTURE_2D, gl["TEXTURE_" + name], gl[value]);
      }
    }

    elements(kind, { buffer, count, type }) {
      this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, buffer);
      this.gl.drawElements(kind, count, type, 0);
    }

    draw(view, mode, wireframe) {
      const gl = this.gl, at = this.at, { width, height } = gl.canvas;
      gl.viewport(0, 0, width, height);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.useProgram(this.program);
      gl.bindVertexArray(this.vertexArray);
      gl.uniform3fv(at.low, this.header.low);
      gl.uniform3fv(at.extent, this.header.extent);
      gl.uniform3f(at.shift, view.pan[0], view.pan[1], -view.distance);
      gl.uniformMatrix3fv(at.rotation, false, matrixOf(view.rotation));
      gl.uniformMatrix4fv(at.projection, false, projectionOf(width / height, view.distance));
      gl.uniform1i(at.mode, MODES.indexOf(mode));
      gl.uniform4f(at.line, 0, 0, 0, 0);
      gl.uniform1i(at.errorColors, 0);
      this.elements(gl.TRIANGLES, this.triangles);
      if (wireframe) {
        this.edges = this.edges || this.indices(edgesOf(this.mesh.triangles));
        gl.uniform4f(at.line, 0.08, 0.1, 0.14, 0.45);
        gl.enable(gl.BLEND);
        gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
        this.elements(gl.LINES, this.edges);
        gl.disable(gl.BLEND);
      }
    }
  }

  // ---- The viewer: its state, and user input

  class Viewer {
    constructor(root) {
      this.root = root;
      this.canvas = root.querySelector("canvas");
      this.header = JSON.parse(root.querySelector(".viewer-header").textContent);
      this.mesh = unpack(this.header, root.querySelector(".viewer-data").textContent);
      this.painter = new Painter(this.canvas, this.header, this.mesh);
      this.mode = "color";
      this.wireframe = false;
      this.frames = 0;
      this.pointers = new Map();
      this.turning = !matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.visible = true;
      this.reset();
      this.listen();
      this.setMode(this.mode);
      this.resize();
      root.dataset.triangles = this.header.triangles;
      root.dataset.state = "ready";
    }

    reset() {
      this.view = { rotation: initialRotation(this.header), pan: [0, 0], distance: this.fittingDistance() };
      this.invalidate();
    }

    fittingDistance() {
      const aspect = this.canvas.clientWidth / (this.canvas.clientHeight || 1) || 1;
      const half = Math.atan(Math.tan(FIELD_OF_VIEW / 2) * Math.min(1, aspect));
      return 1.02 / Math.sin(half);
    }

    // Rotation about the mesh's up axis or, if it isn't known, about the screen's vertical axis.
    spin(angle) {
      const { view, header } = this;
      view.rotation = header.up ? multiply(view.rotation, turn(header.up, angle)) : multiply(turn([0, 1, 0], angle), view.rotation);
    }

    tilt(angle) {
      const tilted = multiply(turn([1, 0, 0], angle), this.view.rotation);
      if (this.header.up) {
        const m = matrixOf(tilted), u = this.header.up;
        if (m[1] * u[0] + m[4] * u[1] + m[7] * u[2] < 0.02) return;
      }
      this.view.rotation = tilted;
    }

    zoom(factor) {
      this.view.distance = Math.min(FARTHEST, Math.max(NEAREST, this.view.distance * factor));
      this.invalidate();
    }

    drag(dx, dy, panning) {
      const height = this.canvas.clientHeight || 1;
      if (panning) {
        const scale = 2 * this.view.distance * Math.tan(FIELD_OF_VIEW / 2) / height;
        this.view.pan = [this.view.pan[0] + dx * scale, this.view.pan[1] - dy * scale].map((p) => Math.max(-3, Math.min(3, p)));
      } else {
        this.spin(dx * 3.2 / height);
        this.tilt(dy * 3.2 / height);
      }
      this.invalidate();
    }

    touched() {
      this.turning = false;
      this.root.dataset.touched = "true";
    }

    setMode(mode) {
      this.mode = mode;
      this.root.dataset.mode = mode;
      for (const button of this.root.querySelectorAll("[data-mode]")) {
        button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
      }
      this.invalidate();
    }

    listen() {
      const canvas = this.canvas;
      canvas.addEventListener("pointerdown", (e) => this.pointerDown(e));
      canvas.addEventListener("pointermove", (e) => this.pointerMove(e));
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
        canvas.addEventListener(name, (e) => this.pointers.delete(e.pointerId));
      }
      canvas.addEventListener("contextmenu", (e) => e.preventDefault());
      canvas.addEventListener("dblclick", () => this.reset());
      canvas.addEventListener("keydown", (e) => this.key(e));
      canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
      addEventListener("wheel", (e) => { if (e.target !== canvas) this.scrolled = e.timeStamp; }, { passive: true });
      this.root.addEventListener("click", (e) => this.button(e.target.closest("button")));
      this.listenToThePage();
    }

    listenToThePage() {
      new ResizeObserver(() => this.resize()).observe(this.canvas);
      this.followDensity();
      new IntersectionObserver((entries) => {
        this.visible = entries[entries.length - 1].isIntersecting;
        if (this.visible) this.invalidate();
      }).observe(this.canvas);
      this.canvas.addEventListener("webglcontextlost", (e) => {
        e.preventDefault();
        this.root.dataset.state = "lost";
      });
      this.canvas.addEventListener("webglcontextrestored", () => {
        this.painter = new Painter(this.canvas, this.header, this.mesh);
        this.root.dataset.state = "ready";
        this.invalidate();
      });
      this.root.addEventListener("viewer-mode", (e) => this.setMode(e.detail));
    }

    // Another screen or zoom level: the canvas's size in CSS pixels may be unchanged, so its observer is not called.
    followDensity() {
      const changed = () => { this.resize(); this.followDensity(); };
      matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", changed, { once: true });
    }

    button(button) {
      if (!button) return;
      if (button.dataset.mode) this.setMode(button.dataset.mode);
      if (button.dataset.action === "reset") this.reset();
      if (button.dataset.action === "wireframe") {
        this.wireframe = !this.wireframe;
        button.setAttribute("aria-pressed", String(this.wireframe));
        this.invalidate();
      }
      if (button.dataset.action === "fullscreen") {
        if (document.fullscreenElement) document.exitFullscreen();
        else this.root.requestFullscreen().catch(() => {});
      }
    }

    pointerDown(event) {
      this.touched();
      this.canvas.focus({ preventScroll: true });
      this.canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY, pan: event.button > 0 || event.shiftKey });
      event.preventDefault();
    }

    pointerMove(event) {
      const last = this.pointers.get(event.pointerId);
      if (!last) return;
      const dx = event.clientX - last.x, dy = event.clientY - last.y, others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      if (others.length) {
        const other = others[0][1], before = Math.hypot(last.x - other.x, last.y - other.y);
        const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
        if (before > 10 && after > 10) this.zoom(before / after);
        this.drag(dx / 2, dy / 2, true);
      } else {
        this.drag(dx, dy, last.pan);
      }
      last.x = event.clientX;
      last.y = event.clientY;
    }

    // Scrolling of the page that reaches the viewer continues; a wheel gesture that starts on the viewer zooms.
    wheel(event) {
      if (event.timeStamp - (this.scrolled ?? -1e9) < 350) {
        this.scrolled = event.timeStamp;
        return;
      }
      event.preventDefault();
      this.touched();
      const lines = event.deltaMode === 1 ? 30 : event.deltaMode === 2 ? 400 : 1;
      this.zoom(Math.exp(Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0015));
    }

    key(event) {
      const step = 40, moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (moves[event.key]) this.drag(...moves[event.key], event.shiftKey);
      else if (event.key === "+" || event.key === "=") this.zoom(0.9);
      else if (event.key === "-") this.zoom(1 / 0.9);
      else if (event.key === "0" || event.key === "Home") this.reset();
      else return;
      this.touched();
      event.preventDefault();
    }

    resize() {
      const ratio = Math.min(devicePixelRatio || 1, 2.5), canvas = this.canvas;
      const width = Math.max(1, Math.round(canvas.clientWidth * ratio)), height = Math.max(1, Math.round(canvas.clientHeight * ratio));
      if (width === canvas.width && height === canvas.height) return;
      canvas.width = width;
      canvas.height = height;
      const fitting = this.fittingDistance();
      if (this.fitted) this.view.distance *= fitting / this.fitted;
      this.fitted = fitting;
      this.invalidate();
    }

    invalidate() {
      if (this.pending) return;
      this.pending = requestAnimationFrame((now) => this.frame(now));
    }

    frame(now) {
      this.pending = 0;
      if (this.turning && this.visible) {
        this.spin(Math.min(now - (this.last ?? now), 50) * 0.0005);
        this.invalidate();
      }
      this.last = now;
      this.painter.draw(this.view, this.mode, this.wireframe);
      const data = this.root.dataset, round = (x) => x.toFixed(4);
      data.frames = ++this.frames;
      data.rotation = this.view.rotation.map(round).join();
      data.distance = round(this.view.distance);
      data.pan = this.view.pan.map(round).join();
    }
  }

  const MESSAGES = {
    unsupported: "This browser doesn't support WebGL2, which the interactive mesh needs. See the pictures below, or open the mesh file.",
    failed: "The 3D view failed: "
  };

  for (const root of document.querySelectorAll(".viewer")) {
    try {
      new Viewer(root);
    } catch (error) {
      const state = error instanceof Unsupported ? "unsupported" : "failed";
      root.dataset.state = state;
      root.querySelector(".viewer-message").textContent = MESSAGES[state] + (state === "failed" ? error.message : "");
    }
  }
})();
