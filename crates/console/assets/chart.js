// A chart over time with axes, a summary for those who do not see it, and a table that says the same.

import { h, svg } from "./dom.js";
import { dateTime } from "./format.js";
import { paths } from "./sparkline.js";

function niceTop(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value);
}

/**
 * Values over time with axes, a summary for those who do not see it, and a table that says the same.
 * `points`: `[{ts_ms, value, text}]`, value null where it is unknown. `width` is the room that there is.
 */
export function timeChart({ name, points, words, width }) {
  const WIDTH = Math.max(280, Math.min(1800, width || 760));
  const HEIGHT = 220;
  const LEFT = 48;
  const BOTTOM = HEIGHT - 26;
  const TOP = 12;
  const known = points.filter((point) => point.value != null);
  const top = niceTop(Math.max(0, ...known.map((point) => point.value)));
  const x = (index) => LEFT + (points.length < 2 ? 0 : (index / (points.length - 1)) * (WIDTH - LEFT - 8));
  const y = (value) => BOTTOM - (value / top) * (BOTTOM - TOP);
  const placed = points.map((point, index) => ({ ...point, x: x(index), y: point.value == null ? 0 : y(point.value) }));
  const drawn = paths(placed, BOTTOM);
  const spansDays = points.length > 1 && points.at(-1).ts_ms - points[0].ts_ms > 86400000;
  const tick = (ms) => (spansDays ? dateTime(ms).slice(5, 16) : dateTime(ms).slice(11, 16));
  const every = Math.max(1, Math.ceil(points.length / Math.max(2, Math.floor(WIDTH / 130))));
  const highest = known.reduce((best, point) => (best && best.value >= point.value ? best : point), null);
  const summary =
    highest === null
      ? `${name}: nothing known in this time.`
      : `${name} from ${dateTime(points[0].ts_ms)} to ${dateTime(points.at(-1).ts_ms)}: highest ${words(highest)} at ${dateTime(highest.ts_ms)}, last ${known.length ? words(known.at(-1)) : "unknown"}.`;
  const gaps = placed.filter((point) => point.value == null);
  const half = points.length < 2 ? 4 : (WIDTH - LEFT - 8) / (points.length - 1) / 2;
  const chart = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary },
    gaps.map((point) =>
      svg("rect", { class: "gap", x: Math.max(LEFT, point.x - half), y: TOP, width: 2 * half, height: BOTTOM - TOP }),
    ),
    [0, 0.25, 0.5, 0.75, 1].map((part) => [
      svg("path", { class: "grid", d: `M${LEFT},${y(top * part)}H${WIDTH - 8}` }),
      svg(
        "text",
        { x: LEFT - 8, y: y(top * part) + 4, "text-anchor": "end" },
        new Intl.NumberFormat("en", { notation: "compact" }).format(top * part),
      ),
    ]),
    placed
      .filter((_, index) => index % every === 0)
      .map((point) =>
        svg(
          "text",
          {
            x: point.x,
            y: HEIGHT - 8,
            "text-anchor": point.x > WIDTH - 60 ? "end" : point.x < LEFT + 10 ? "start" : "middle",
          },
          tick(point.ts_ms),
        ),
      ),
    svg("path", { class: "area", d: drawn.area }),
    svg("path", { class: "line", d: drawn.line }),
  );
  const rows = points.slice(-500);
  const table = h(
    "details",
    { "data-testid": "chart-table" },
    h("summary", {}, "The same as a table"),
    h(
      "div",
      { class: "scroll-y", tabindex: "0", role: "group", "aria-label": `${name} as a table` },
      h(
        "table",
        { class: "data" },
        h("caption", { class: "sr" }, name),
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), h("th", { scope: "col", class: "num" }, name))),
        h(
          "tbody",
          {},
          rows.map((point) =>
            h(
              "tr",
              {},
              h("td", {}, dateTime(point.ts_ms)),
              h("td", { class: "num" }, point.value == null ? "unknown" : words(point)),
            ),
          ),
        ),
      ),
    ),
  );
  return h(
    "div",
    { class: "gap" },
    h("p", { class: "muted" }, summary),
    chart,
    gaps.length > 0
      ? h("p", { class: "muted" }, "Grey: the minutes of that time are not kept any more, so its value is unknown.")
      : null,
    table,
  );
}
