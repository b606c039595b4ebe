// Numbers, durations, times and sizes as people read them. An unknown figure is "unknown", never 0.

const whole = new Intl.NumberFormat("en");
const clockTime = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});
const dayTime = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

export const count = (value) => (value == null ? "unknown" : whole.format(value));

/** "1 entry", "12 entries". */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

export function rate(value) {
  if (value == null) return "–";
  return `${value > 0 && value < 10 ? value.toFixed(1) : whole.format(Math.round(value))}/s`;
}

export function duration(ms) {
  if (ms == null) return "unknown";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** An age in words that do not change many times a second. */
export const ago = (ms) => (ms < 1000 ? "just now" : `${duration(Math.floor(ms / 1000) * 1000).replace(".0", "")} ago`);

/** Local time; with the date if that is not today. */
export function time(ms) {
  if (ms == null) return "unknown";
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "unknown";
  return date.toDateString() === new Date().toDateString() ? clockTime.format(date) : dayTime.format(date);
}

/** Local date and time, always both. */
export function dateTime(ms) {
  const date = new Date(ms);
  return ms == null || Number.isNaN(date.getTime()) ? "unknown" : dayTime.format(date);
}

/** The milliseconds in an entry's ID. */
export function idTime(id) {
  const ms = Number(String(id).split("-")[0]);
  return Number.isSafeInteger(ms) && ms < 8.64e15 ? ms : null;
}

/** Whether the ID `a` is older than `b`; the sequence can exceed what a number holds. */
export function idBefore(a, b) {
  const [aMs, aSeq = "0"] = a.split("-");
  const [bMs, bSeq = "0"] = b.split("-");
  try {
    return BigInt(aMs) < BigInt(bMs) || (BigInt(aMs) === BigInt(bMs) && BigInt(aSeq) < BigInt(bSeq));
  } catch {
    return false;
  }
}

export function bytes(n) {
  if (n == null) return "unknown";
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = n / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** A two-decimal string with thousands separated; the digits are never turned into a float. */
export function money(text) {
  if (text == null) return "unknown";
  const match = /^(-?)(\d+)(\.\d+)?$/.exec(String(text));
  return match ? `${match[1]}${whole.format(BigInt(match[2]))}${match[3] ?? ""}` : String(text);
}

/** A value of `<input type=datetime-local>` in milliseconds, or null. */
export function localInput(value) {
  if (!value) return null;
  const ms = new Date(value).getTime();
  return Number.isNaN(ms) ? null : ms;
}

/** Milliseconds as `<input type=datetime-local>` wants them. */
export function toLocalInput(ms) {
  if (!ms) return "";
  const date = new Date(Number(ms));
  if (Number.isNaN(date.getTime())) return "";
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
