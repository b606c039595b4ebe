// Who is looking and what they may do: read-only, demo, login, and the types of events.

import { get, post } from "./api.js";

export const session = {
  login_required: false,
  logged_in: false,
  read_only: false,
  demo: false,
  stream: "",
  version: "",
  event_types: [],
};

export async function refresh() {
  Object.assign(session, await get("/api/session"));
  // Levers are hidden by the style sheet, so that a view needs no second version of itself.
  document.documentElement.classList.toggle("read-only", session.read_only);
  return session;
}

/** Whether a login is needed before anything else can be shown. */
export const locked = () => session.login_required && !session.logged_in;

export async function login(token) {
  await post("/api/login", { token });
  await refresh();
}

export async function logout() {
  await post("/api/logout");
  await refresh();
}
