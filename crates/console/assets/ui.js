// Small parts that every view uses: buttons that wait for their answer, labelled fields, tags, notices, IDs, foreign text.

import { h, setText } from "./dom.js";
import { count, dateTime, idTime } from "./format.js";
import { link } from "./router.js";
import { failed } from "./toast.js";

const SHOWN_CHARACTERS = 160;
let serial = 0;

/** An ID for an element that another one refers to. */
export const uid = (word) => `${word}-${(serial += 1)}`;

export function button(label, onclick, props = {}) {
  return h("button", { type: "button", onclick, ...props }, label);
}

/**
 * Runs `work` for a button: further presses do nothing until it is done, a problem becomes a message that says what was
 * tried. The button keeps the focus, which `disabled` would take away.
 */
export async function act(control, what, work) {
  if (control.getAttribute("aria-disabled") === "true") return undefined;
  control.setAttribute("aria-disabled", "true");
  control.classList.add("busy");
  try {
    return await work();
  } catch (error) {
    failed(what, error);
    return undefined;
  } finally {
    control.removeAttribute("aria-disabled");
    control.classList.remove("busy");
  }
}

/** A control with its label above it, and a hint that is read with it. */
export function field(label, control, hint, props = {}) {
  control.id ||= uid("field");
  const note = hint ? h("small", { id: `${control.id}-hint`, class: "muted" }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return h("div", { class: "field", ...props }, h("label", { for: control.id }, label), control, note);
}

export function input(type, name, props = {}) {
  return h("input", { type, name, autocomplete: "off", spellcheck: "false", ...props });
}

export function select(name, pairs, props = {}) {
  return h(
    "select",
    { name, ...props },
    pairs.map(([value, label]) => h("option", { value }, label)),
  );
}

/** A word in a frame. Its kind gives the colour, the word gives the meaning. */
export function tag(kind, text) {
  return h("span", { class: `tag ${kind}` }, text);
}

export function setTag(el, kind, text) {
  const wanted = `tag ${kind}`;
  if (el.className !== wanted) el.className = wanted;
  setText(el, text);
}

/** A box that explains: nothing there yet, something wrong, something to know. */
export function notice(kind, title, text, ...more) {
  return h(
    "div",
    { class: `notice ${kind}`, "data-testid": `notice-${kind}` },
    title ? h("p", { class: "notice-title" }, title) : null,
    text ? h("p", {}, text) : null,
    more,
  );
}

export function problemNotice(error, retry) {
  return notice(
    "problem",
    error.title ?? "Something went wrong",
    error.message,
    retry ? h("p", {}, button("Try again", retry, { "data-testid": "retry" })) : null,
  );
}

export function skeleton(rows = 4) {
  return h(
    "div",
    { class: "skeleton", "aria-hidden": "true", "data-testid": "skeleton" },
    Array.from({ length: rows }, () => h("i")),
  );
}

/** Text that somebody else wrote, kept from turning the text around it; long text is cut and can be shown whole. */
export function foreign(text, max = SHOWN_CHARACTERS) {
  const whole = String(text);
  if (whole.length <= max) return h("bdi", { class: "foreign" }, whole);
  const part = h("bdi", { class: "foreign" }, `${whole.slice(0, max)}…`);
  const more = button(
    `Show all ${count(whole.length)} characters`,
    () => {
      const opened = more.getAttribute("aria-expanded") !== "true";
      part.textContent = opened ? whole : `${whole.slice(0, max)}…`;
      part.classList.toggle("whole", opened);
      if (opened) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
      more.setAttribute("aria-expanded", String(opened));
      more.textContent = opened ? "Show less" : `Show all ${count(whole.length)} characters`;
    },
    { class: "quiet small", "aria-expanded": "false", "data-testid": "show-all" },
  );
  return h("span", { class: "cut" }, part, " ", more);
}

/** The same where there is no room for more: cut, the rest in the tooltip's reach at most. */
export function brief(text, max = 60) {
  const whole = String(text);
  const cut = whole.length > max;
  return h(
    "bdi",
    { class: "foreign brief", title: cut ? whole.slice(0, 500) : null },
    cut ? `${whole.slice(0, max)}…` : whole,
  );
}

export function entryLink(id, props = {}) {
  const ms = idTime(id);
  return h("a", { class: "id", href: link("entries", [id]), title: ms == null ? null : dateTime(ms), ...props }, id);
}

export function orderLink(orderId) {
  const text = String(orderId);
  return h("a", { href: link("orders", [text]), class: "order" }, brief(text, 40));
}

/** The first value of a field, or null. */
export function fieldOf(fields, name) {
  const found = fields?.find((pair) => pair[0] === name);
  return found ? found[1] : null;
}

/** All fields of an entry, in their order, duplicates kept. */
export function fieldList(fields) {
  return h(
    "dl",
    { class: "fields", "data-testid": "fields" },
    fields.map(([name, value]) =>
      h(
        "div",
        { "data-field-name": name.slice(0, 100) },
        h("dt", {}, brief(name, 80)),
        h("dd", {}, name === "order_id" && value.length <= 128 ? orderLink(value) : foreign(value)),
      ),
    ),
  );
}

/** Heading of a view, its explanation and the controls beside it. */
export function viewHead(title, lead, ...controls) {
  return h(
    "div",
    { class: "view-head" },
    h("div", {}, h("h1", { tabindex: "-1" }, title), lead ? h("p", { class: "lead muted" }, lead) : null),
    controls.length > 0 ? h("div", { class: "controls" }, controls) : null,
  );
}

/** A titled box. */
export function panel(title, props, ...children) {
  const id = uid("panel");
  return h(
    "section",
    { class: "panel", "aria-labelledby": id, ...props },
    h("h2", { id }, title, h("span", { class: "old" }, "old values")),
    children,
  );
}
