// Elements from plain data. Text only ever becomes a text node, so nothing that a stream holds can become markup.

/** An element. Properties starting with "on" are listeners; null and false are left out; children are nodes or text. */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on") && typeof value === "function") el.addEventListener(name.slice(2), value);
    else if (name === "class") el.setAttribute("class", value);
    else el.setAttribute(name, value === true ? "" : String(value));
  }
  el.append(...children.flat(4).filter((child) => child != null && child !== false));
  return el;
}

/** Sets the text of an element if it is another one: a selection in it survives an update that changes nothing. */
export function setText(el, text) {
  const wanted = String(text);
  if (el.textContent !== wanted) el.textContent = wanted;
}

/** Sets or removes an attribute, if that changes anything. */
export function setAttr(el, name, value) {
  if (value == null || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else {
    const wanted = value === true ? "" : String(value);
    if (el.getAttribute(name) !== wanted) el.setAttribute(name, wanted);
  }
}

/** Shows or hides an element. */
export function show(el, shown) {
  if (el.hidden === shown) el.hidden = !shown;
}

/**
 * Keeps the children of `parent` (those after `head`, if there is one) in step with a list: one child an item, created
 * once by `create(item)`, which returns `{el, update?(item, extra)}`, and moved only if its place has changed, so that
 * focus and selection stay. The focus of a child that goes away moves to the heading above it.
 */
export function keyed(parent, keyOf, create, head = null) {
  const rows = new Map();
  return (items, extra) => {
    const wanted = new Map(items.map((item) => [keyOf(item), item]));
    for (const [key, row] of rows) {
      if (wanted.has(key)) continue;
      const focused = row.el.contains(document.activeElement);
      row.el.remove();
      rows.delete(key);
      if (focused) {
        const heading = parent.closest("section")?.querySelector("[tabindex='-1']") ?? document.getElementById("main");
        heading.focus({ preventScroll: true });
      }
    }
    let cursor = head ? head.nextElementSibling : parent.firstElementChild;
    for (const [key, item] of wanted) {
      let row = rows.get(key);
      if (!row) rows.set(key, (row = create(item)));
      row.update?.(item, extra);
      if (row.el === cursor) cursor = cursor.nextElementSibling;
      else parent.insertBefore(row.el, cursor);
    }
  };
}

/** Keeps the options of a select in step with `[value, label]` pairs without touching what is chosen. */
export function setOptions(select, pairs) {
  const sign = JSON.stringify(pairs);
  if (select.dataset.sign === sign) return;
  const before = select.value || select.dataset.wanted || "";
  select.dataset.sign = sign;
  select.replaceChildren(...pairs.map(([value, label]) => h("option", { value }, label)));
  if (pairs.some(([value]) => value === before)) select.value = before;
  else if (before && select.dataset.keep !== undefined) {
    // What the link or the user asked for may appear with a later state.
    select.append(h("option", { value: before }, before));
    select.value = before;
  }
}
