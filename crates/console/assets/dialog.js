// Questions before something that cannot be taken back: they say what will happen, and the focus is on Cancel.

import { h } from "./dom.js";
import { button, field, input, uid } from "./ui.js";

/**
 * Asks. Answers the form's values, or null if it was cancelled. `typed` is a phrase that must be typed first.
 * `body` are nodes; controls with a name among them are part of the answer.
 */
export function ask({ title, body, confirm, danger = false, typed = null, testid = "dialog" }) {
  return new Promise((resolve) => {
    const id = uid("dialog");
    const cancel = button("Cancel", () => dialog.close(), { "data-testid": "dialog-cancel" });
    const go = h(
      "button",
      { type: "submit", class: danger ? "danger" : "primary", "data-testid": "dialog-confirm" },
      confirm,
    );
    const phrase =
      typed == null
        ? null
        : input("text", "typed", {
            "data-testid": "dialog-typed",
            oninput: () => {
              go.disabled = phrase.value.trim() !== typed;
            },
          });
    if (phrase) go.disabled = true;
    let answer = null;
    const form = h(
      "form",
      {
        method: "dialog",
        onsubmit: (event) => {
          event.preventDefault();
          if (go.disabled) return;
          answer = Object.fromEntries(new FormData(form));
          dialog.close();
        },
      },
      h("h2", { id }, title),
      h("div", { class: "dialog-body", id: `${id}-body` }, body),
      phrase ? field(h("span", {}, "Type ", h("code", {}, typed), " to confirm"), phrase) : null,
      h("div", { class: "controls end" }, cancel, go),
    );
    const dialog = h(
      "dialog",
      {
        "aria-labelledby": id,
        "aria-describedby": `${id}-body`,
        "data-testid": testid,
        onclose: () => {
          dialog.remove();
          resolve(answer);
        },
      },
      form,
    );
    document.body.append(dialog);
    dialog.showModal();
    cancel.focus();
  });
}
