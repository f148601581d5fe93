"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data) return;
  const bytes = atob(data.values);
  const values = Int8Array.from(bytes, (byte) => (byte.charCodeAt(0) << 24) >> 24);
  const select = document.getElementById("unit");
  const text = document.getElementById("text");
  const state = document.getElementById("state");
  const buttons = [...document.querySelectorAll("button[data-unit]")];

  // One element for each character, as Python counts them: by code points.
  const characters = [...text.textContent].slice(-data.length);
  const spans = characters.map((character) => {
    const span = document.createElement("span");
    span.textContent = character;
    return span;
  });
  text.replaceChildren(...spans);

  const near = (place) => {
    const from = Math.max(0, place - 15);
    return characters.slice(from, place + 1).join("").replace(/\s+/g, " ").trim();
  };

  const show = () => {
    const unit = Number(select.value);
    const start = unit * data.length;
    let low = 0;
    let high = 0;
    for (let n = 0; n < data.length; n += 1) {
      const value = values[start + n] / 127;
      const side = value < 0 ? "low" : "high";
      spans[n].style.backgroundColor = `rgba(var(--${side}), ${(Math.abs(value) * 0.6).toFixed(3)})`;
      if (values[start + n] < values[start + low]) low = n;
      if (values[start + n] > values[start + high]) high = n;
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.unit) === unit));
    }
    const shown = (place) => `${(values[start + place] / 127).toFixed(2)} after “${near(place)}”`;
    state.textContent = `Coloured by ${data.names[unit]}: highest ${shown(high)}, lowest ${shown(low)}.`;
  };

  const choose = (unit) => {
    const count = data.names.length;
    select.value = String((unit + count) % count);
    show();
  };

  select.addEventListener("change", show);
  document.getElementById("previous").addEventListener("click", () => choose(Number(select.value) - 1));
  document.getElementById("next").addEventListener("click", () => choose(Number(select.value) + 1));
  for (const button of buttons) {
    button.addEventListener("click", () => choose(Number(button.dataset.unit)));
  }
  choose(data.first);
})();
