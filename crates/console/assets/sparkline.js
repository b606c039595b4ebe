// Small charts without axes, drawn as SVG by script, that move with the live state.

import { setAttr, setText, svg } from "./dom.js";

/** Runs of neighbouring known points: an unknown value is a gap, never a zero. */
function runs(points) {
  const all = [];
  let run = null;
  for (const point of points) {
    if (point.value == null) run = null;
    else if (run) run.push(point);
    else all.push((run = [point]));
  }
  return all;
}

const xy = ({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`;

/** The line and the area under it, as path data. */
export function paths(points, floor) {
  let line = "";
  let area = "";
  for (const run of runs(points)) {
    line += run.length === 1 ? `M${xy(run[0])}h0.1` : `M${run.map(xy).join("L")}`;
    area += `M${run[0].x.toFixed(1)},${floor}L${run.map(xy).join("L")}L${run.at(-1).x.toFixed(1)},${floor}Z`;
  }
  return { line, area };
}

/** A line without axes. `update(values)` takes numbers or nulls, oldest first; `words(value)` says one in the label. */
export function sparkline(name, words, kind = "") {
  const WIDTH = 120;
  const HEIGHT = 28;
  const area = svg("path", { class: "area" });
  const line = svg("path", { class: "line" });
  const title = svg("title");
  const el = svg(
    "svg",
    { class: `spark ${kind}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    title,
    svg("path", { class: "base", d: `M0,${HEIGHT - 0.5}H${WIDTH}` }),
    area,
    line,
  );
  return {
    el,
    update(values) {
      const known = values.filter((value) => value != null);
      const top = Math.max(1, ...known);
      const points = values.map((value, index) => ({
        value,
        x: WIDTH - values.length + 1 + index,
        y: value == null ? 0 : HEIGHT - 1 - (value / top) * (HEIGHT - 4),
      }));
      const drawn = paths(points, HEIGHT);
      setAttr(line, "d", drawn.line);
      setAttr(area, "d", drawn.area);
      setText(
        title,
        known.length === 0
          ? `${name}: nothing known yet`
          : `${name}, last ${values.length} s: now ${words(values.at(-1))}, highest ${words(Math.max(...known))}`,
      );
    },
  };
}
