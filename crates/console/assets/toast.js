// Short messages in a corner: results fade by themselves, problems stay until they are dismissed.

import { h } from "./dom.js";

const SHOWN = 4;
const RESULT_MS = 7000;
const JUST_NOW_MS = 2000;

function put(area, kind, text, extra) {
  const close = () => toast.remove();
  const toast = h(
    "div",
    { class: `toast ${kind}`, "data-testid": `toast-${kind}`, "data-at": Date.now() },
    h("p", {}, h("strong", {}, kind === "problem" ? "Problem: " : kind === "note" ? "Note: " : "Done: "), text, extra),
    h("button", { type: "button", class: "quiet", "aria-label": "Dismiss", onclick: close }, "✕"),
  );
  const list = document.getElementById(area);
  list.append(toast);
  while (list.children.length > SHOWN) list.firstElementChild.remove();
  return { toast, close };
}

/** A result. It stays while the pointer or the focus is on it. */
export function done(text, extra) {
  const { toast, close } = put("toasts-status", "result", text, extra);
  let timer = setTimeout(close, RESULT_MS);
  const hold = () => clearTimeout(timer);
  const release = () => {
    clearTimeout(timer);
    timer = setTimeout(close, RESULT_MS);
  };
  for (const name of ["mouseenter", "focusin"]) toast.addEventListener(name, hold);
  for (const name of ["mouseleave", "focusout"]) toast.addEventListener(name, release);
}

/** Something that went wrong: what was tried, and what the server said. */
export function failed(what, error) {
  if (error.name === "AbortError" || error.status === 401) return;
  put("toasts-alert", "problem", `${what}: ${error.message}`);
}

/** Takes away the problems of the view that was left, except one that came as it was left. */
export function forget() {
  for (const toast of document.querySelectorAll("#toasts-alert .toast")) {
    if (Date.now() - Number(toast.dataset.at) > JUST_NOW_MS) toast.remove();
  }
}
