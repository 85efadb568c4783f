/* Interaction of a report: enlarging pictures, sliding between photograph and rendering, copying a command. */
"use strict";

(() => {
  addEventListener("error", (event) => { document.documentElement.dataset.scriptError = event.message; });

  // ---- Pictures: a .view holds a row of images; a click opens the dialog with all of them, and "Compare".

  const box = document.querySelector(".lightbox");
  const [title, tabs, image, over, handle, slider, stage] =
    ["title", "tabs", "image", "over", "handle", "slider", "stage"].map((n) => box.querySelector(".lightbox-" + n));
  let shown = [], current = 0;

  function slide(value) {
    slider.value = value;
    over.style.clipPath = `inset(0 ${100 - value}% 0 0)`;
    handle.style.left = value + "%";
  }

  function show(index) {
    current = (index + shown.length) % shown.length;
    const picture = shown[current], compare = Boolean(picture.under);
    image.src = picture.under || picture.src;
    over.src = picture.src;
    image.alt = picture.name;
    for (const part of [over, handle, slider]) part.hidden = !compare;
    stage.classList.toggle("comparing", compare);
    [...tabs.children].forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === current)));
    box.dataset.shows = picture.name;
  }

  function open(view, name) {
    const images = [...view.querySelectorAll("img")];
    shown = images.map((i) => ({ name: i.dataset.name, src: i.src }));
    const [photo, rendering] = ["Photograph", "Rendering"].map((n) => shown.find((s) => s.name === n));
    if (photo && rendering) shown.push({ name: "Compare", src: photo.src, under: rendering.src });
    title.textContent = view.dataset.title;
    tabs.replaceChildren(...shown.map((picture, i) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.textContent = picture.name;
      tab.addEventListener("click", () => show(i));
      return tab;
    }));
    slide(50);
    box.showModal();
    show(Math.max(0, shown.findIndex((s) => s.name === name)));
  }

  for (const view of document.querySelectorAll(".view")) {
    view.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) open(view, button.dataset.open);
    });
  }

  slider.addEventListener("input", () => slide(slider.value));
  stage.addEventListener("pointermove", (event) => {
    if (!stage.classList.contains("comparing") || (event.pointerType !== "mouse" && !event.buttons)) return;
    const box = image.getBoundingClientRect();
    slide(Math.max(0, Math.min(100, 100 * (event.clientX - box.left) / box.width)));
  });
  box.addEventListener("keydown", (event) => {
    if (event.target === slider) return;
    if (event.key === "ArrowRight") show(current + 1);
    if (event.key === "ArrowLeft") show(current - 1);
  });
  box.addEventListener("click", (event) => {
    if (event.target === box || event.target.closest(".lightbox-close")) box.close();
  });

  // ---- "Show on the mesh", and "Copy"

  for (const button of document.querySelectorAll("[data-show-mode]")) {
    button.addEventListener("click", () => {
      const viewer = document.querySelector(".viewer");
      viewer.dispatchEvent(new CustomEvent("viewer-mode", { detail: button.dataset.showMode }));
      viewer.scrollIntoView({ behavior: "smooth", block: "center" });
    });
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(button.parentElement.querySelector("code"));
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }
})();
