// The colour scheme: the system's unless the reader chose one; runs before the first paint, so that nothing flashes.
"use strict";
(() => {
  const KEY = "orderflow-theme";
  const order = ["system", "light", "dark"];
  let chosen = "system";
  try {
    chosen = localStorage.getItem(KEY) || "system";
  } catch {
    /* storage is off: the system's scheme it is */
  }
  if (!order.includes(chosen)) chosen = "system";
  const root = document.documentElement;
  const apply = () => {
    if (chosen === "system") delete root.dataset.theme;
    else root.dataset.theme = chosen;
  };
  apply();
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const say = () => {
      const word = document.createElement("span");
      word.className = "sr";
      word.textContent = "Colours: ";
      button.replaceChildren(word, { system: "Auto", light: "Light", dark: "Dark" }[chosen]);
    };
    say();
    button.addEventListener("click", () => {
      chosen = order[(order.indexOf(chosen) + 1) % order.length];
      try {
        localStorage.setItem(KEY, chosen);
      } catch {
        /* it holds for this page only */
      }
      apply();
      say();
    });
  });
})();
