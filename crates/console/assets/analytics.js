// Analytics: revenue and counts, the funnel, top customers, and figures over time.

import { get } from "./api.js";
import { timeChart } from "./chart.js";
import { h } from "./dom.js";
import { customers, funnel, summaryTiles, typesTable } from "./figures.js";
import { count, money } from "./format.js";
import { now } from "./live.js";
import { go, link } from "./router.js";
import { session } from "./session.js";
import { button, field, panel, problemNotice, select, skeleton, viewHead } from "./ui.js";

const WINDOWS = [
  ["", "all time"],
  ["15m", "last 15 minutes"],
  ["1h", "last hour"],
  ["24h", "last 24 hours"],
  ["7d", "last 7 days"],
];
/** Name, how far back, and the step. */
const SPANS = {
  "1h": ["last hour", 3600000, "1m"],
  "6h": ["last 6 hours", 21600000, "5m"],
  "24h": ["last 24 hours", 86400000, "15m"],
  "7d": ["last 7 days", 604800000, "2h"],
  "90d": ["last 90 days", 7776000000, "1d"],
};
const REFRESH_MS = 10000;

export function create() {
  let turn = 0;
  let timer = 0;
  /** Draws the series again, for another width. */
  let draw = null;
  const types = ["revenue", "events", ...session.event_types];
  const controls = {
    window: select("window", WINDOWS, { "data-testid": "analytics-window", onchange: apply }),
    metric: select(
      "metric",
      types.map((name) => [name, name]),
      { "data-testid": "analytics-metric", onchange: apply },
    ),
    span: select(
      "span",
      Object.entries(SPANS).map(([key, [name]]) => [key, name]),
      { "data-testid": "analytics-span", onchange: apply },
    ),
    n: select(
      "n",
      [
        ["10", "10"],
        ["25", "25"],
        ["100", "100"],
      ],
      { "data-testid": "analytics-n", onchange: apply },
    ),
  };
  const places = Object.fromEntries(
    ["summary", "types", "series", "funnel", "top"].map((name) => [name, h("div", {}, skeleton(1))]),
  );
  const el = h(
    "div",
    {},
    viewHead(
      "Analytics",
      "Every event counted exactly once, by event time; days are UTC.",
      h(
        "div",
        { class: "form-row" },
        field("Figures of", controls.window),
        field("Top customers", controls.n),
        button("Refresh", () => load(), { "data-testid": "analytics-refresh" }),
      ),
    ),
    places.summary,
    panel(
      "Over time",
      { "data-testid": "analytics-series" },
      h("div", { class: "form-row" }, field("Metric", controls.metric), field("Time", controls.span)),
      places.series,
    ),
    h(
      "div",
      { class: "columns three" },
      panel("By type", {}, places.types),
      panel("Funnel (all time)", {}, places.funnel),
      panel("Top customers (all time)", {}, places.top),
    ),
  );

  const resized = new ResizeObserver(() => {
    const drawn = places.series.querySelector("svg")?.viewBox.baseVal.width;
    if (draw && drawn && Math.abs(drawn - places.series.clientWidth) > 8) replace(places.series, draw());
  });
  resized.observe(places.series);

  function apply() {
    go(
      link("analytics", [], {
        window: controls.window.value,
        metric: controls.metric.value,
        span: controls.span.value,
        n: controls.n.value,
      }),
    );
  }

  async function part(mine, work, ...names) {
    try {
      const made = await work();
      if (mine === turn) names.forEach((name, index) => replace(places[name], made[index]));
    } catch (error) {
      if (mine === turn && error.name !== "AbortError")
        names.forEach((name, index) =>
          places[name].replaceChildren(
            index === 0 ? problemNotice(error, () => load()) : h("p", { class: "muted" }, "unknown"),
          ),
        );
    }
  }

  /** New content in place of the old; an opened table and its scroll position stay. */
  function replace(place, node) {
    const opened = place.querySelector("details[open]");
    const top = opened?.querySelector(".scroll-y")?.scrollTop;
    const focused = place.contains(document.activeElement) && document.activeElement.tagName;
    place.replaceChildren(node);
    if (!opened) return;
    const details = place.querySelector("details");
    if (!details) return;
    details.open = true;
    details.querySelector(".scroll-y").scrollTop = top;
    if (focused)
      (focused === "SUMMARY" ? details.firstElementChild : details.querySelector(".scroll-y")).focus({
        preventScroll: true,
      });
  }

  function load() {
    clearTimeout(timer);
    const mine = (turn += 1);
    const window = controls.window.value;
    const metric = controls.metric.value;
    const [, back, step] = SPANS[controls.span.value];
    const to = Math.floor(now());
    part(
      mine,
      async () => {
        const summary = await get("/api/analytics/summary", { window });
        return [summaryTiles(summary), typesTable(summary)];
      },
      "summary",
      "types",
    );
    part(mine, async () => [funnel(await get("/api/analytics/summary"))], "funnel");
    part(mine, async () => [customers(await get("/api/analytics/customers/top", { n: controls.n.value }))], "top");
    part(
      mine,
      async () => {
        const answer = await get("/api/analytics/timeseries", { metric, from: to - back, to, step });
        const name = metric === "revenue" ? "Revenue" : `Events: ${metric}`;
        draw = () =>
          timeChart({
            width: places.series.clientWidth,
            name,
            points: answer.points.map((point) => ({
              ts_ms: point.ts_ms,
              value: point.value == null ? null : Number(point.value),
              text: point.value,
            })),
            words: (point) => (metric === "revenue" ? money(point.text) : count(point.value)),
          });
        return [draw()];
      },
      "series",
    );
    timer = setTimeout(again, REFRESH_MS);
  }

  /** A page that nobody sees asks nothing; it asks at once when it is looked at again. */
  function again() {
    if (document.hidden) timer = setTimeout(again, 1000);
    else load();
  }

  return {
    el,
    show(route) {
      for (const [name, control] of Object.entries(controls)) {
        const value = route.query.get(name);
        if (value != null && [...control.options].some((option) => option.value === value)) control.value = value;
      }
      load();
    },
    close() {
      turn += 1;
      clearTimeout(timer);
      resized.disconnect();
    },
  };
}
