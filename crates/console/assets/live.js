// The live state: one stream of events, what was seen last when Redis or the console is away, and rates from successive states.

import { askLogin } from "./api.js";

const POINTS = 120;
const RATE_WINDOW_MS = 4000;
const SILENCE_MS = 12000;
const HIDDEN_MS = 30000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

const watchers = new Set();
let source = null;
let wanted = false;
let retries = 0;
let retryTimer = 0;
let silenceTimer = 0;
let hiddenTimer = 0;

/** What every view reads. `state` is the newest state whose stream is known; `redis` is always the newest word. */
export const live = {
  connection: "connecting",
  redis: null,
  state: null,
  skewMs: 0,
  history: [],
  /** Whether the values shown are old. */
  get stale() {
    return this.connection === "lost" || (this.redis !== null && !this.redis.available);
  },
};

/** The time by the server's clock. */
export const now = () => Date.now() + live.skewMs;

/** Calls `watcher` after every change; the answer ends that. */
export function watch(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function tell() {
  for (const watcher of [...watchers]) watcher(live);
}

export function start() {
  wanted = true;
  retries = 0;
  open();
}

/** Ends it and forgets what was seen: whoever logs in next may be somebody else. */
export function stop() {
  wanted = false;
  close();
  Object.assign(live, { connection: "connecting", redis: null, state: null, history: [] });
}

function close() {
  clearTimeout(retryTimer);
  clearTimeout(silenceTimer);
  source?.close();
  source = null;
}

function open() {
  close();
  if (!wanted) return;
  source = new EventSource("/api/live");
  source.addEventListener("state", (event) => {
    retries = 0;
    take(JSON.parse(event.data));
    listenForSilence();
  });
  source.addEventListener("error", lost);
  listenForSilence();
}

function listenForSilence() {
  clearTimeout(silenceTimer);
  silenceTimer = setTimeout(lost, SILENCE_MS);
}

function lost() {
  close();
  if (!wanted) return;
  if (live.connection !== "lost") {
    live.connection = "lost";
    tell();
  }
  const delay = RETRY_MS[Math.min(retries, RETRY_MS.length - 1)];
  retries += 1;
  retryTimer = setTimeout(async () => {
    await askLogin();
    if (wanted && !source) open();
  }, delay);
}

function take(state) {
  live.connection = "live";
  live.redis = state.redis;
  live.skewMs = state.at_ms - Date.now();
  if (state.redis.available && state.stream) {
    live.state = state;
    remember(state);
  } else if (!live.state && state.stream) {
    // What the console saw last, before this page was opened.
    live.state = state;
  }
  tell();
}

function remember(state) {
  const groups = {};
  for (const group of state.groups) {
    groups[group.name] = { lag: group.lag, pending: group.pending, ...group.totals };
  }
  const last = live.history.at(-1);
  if (last && state.at_ms <= last.at) return;
  // After a gap the old points would be drawn as if they had been a second ago.
  if (last && state.at_ms - last.at > 30000) live.history.length = 0;
  live.history.push({ at: state.at_ms, totals: state.totals, length: state.stream.length, groups });
  if (live.history.length > POINTS) live.history.shift();
}

/** Values of a series, oldest first; `pick(point)` may answer null or undefined where it is unknown. */
export function series(pick) {
  return live.history.map((point) => pick(point) ?? null);
}

/** Rates a second of a counter at every point, over the few seconds before it; null where it is unknown or went back. */
export function rates(pick) {
  const points = live.history;
  let from = 0;
  return points.map((point, index) => {
    while (from < index - 1 && point.at - points[from].at > RATE_WINDOW_MS) from += 1;
    const before = pick(points[from]);
    const after = pick(point);
    const ms = point.at - points[from].at;
    return before == null || after == null || ms <= 0 || after < before ? null : ((after - before) * 1000) / ms;
  });
}

// A browser allows six connections to a server: a page that nobody sees gives its own back after a while.
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(close, HIDDEN_MS);
  else if (wanted && !source) open();
});

/** Runs `load` again once everything is there again, after it has failed for want of Redis or of the console. */
export function afterOutage(load) {
  let due = false;
  return {
    failed(error) {
      due = error.status === 0 || error.status >= 500;
    },
    update() {
      if (!due || live.stale || live.connection !== "live") return;
      due = false;
      load();
    },
  };
}
