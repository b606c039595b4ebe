// The page's beginning: session, routes, header and banners. Each view is a module of its own, fetched when first shown.

import { h, setText, show } from "./dom.js";
import { dateTime } from "./format.js";
import { live, start, stop, watch } from "./live.js";
import { warm } from "./pull.js";
import { find, go, link, parse } from "./router.js";
import { locked, logout, refresh, session } from "./session.js";
import { failed, forget } from "./toast.js";
import { problemNotice, skeleton } from "./ui.js";

/** Name in the address → title and module. Those with `nav` are in the menu. */
const VIEWS = {
  overview: { title: "Overview", nav: true, load: () => import("./overview.js") },
  tail: { title: "Live tail", nav: true, load: () => import("./tail.js") },
  replay: { title: "Replay", nav: true, load: () => import("./replay.js") },
  pending: { title: "Pending", nav: true, load: () => import("./pending.js") },
  "dead-letters": { title: "Dead letters", nav: true, load: () => import("./dead-letters.js") },
  analytics: { title: "Analytics", nav: true, load: () => import("./analytics.js") },
  workers: { title: "Workers", nav: true, load: () => import("./workers.js") },
  server: { title: "Server", nav: true, load: () => import("./server.js") },
  maintenance: { title: "Maintenance", nav: true, load: () => import("./maintenance.js") },
  letter: { title: "Dead letter", load: () => import("./letter.js") },
  entries: { title: "Entry", load: () => import("./entry.js") },
  orders: { title: "Order", load: () => import("./order.js") },
  login: { title: "Log in", load: () => import("./login.js") },
};

const main = document.getElementById("main");
let current = null;
let turn = 0;
let firstView = true;

function setTitle(title) {
  document.title = `${title} · Orderflow console`;
}

/** Shows what the address says. A view that is already shown is told the new query and keeps its forms. */
async function route() {
  const wanted = parse(location.hash);
  const name = locked() ? "login" : wanted.name === "login" ? "overview" : wanted.name;
  const entry = VIEWS[name];
  const mine = (turn += 1);
  markNav(name === "letter" ? "dead-letters" : name);
  closeMenu();
  if (current?.name === name && current.view.show) {
    setTitle(current.view.show({ ...wanted, name }) ?? entry.title);
    return;
  }
  current?.view.close?.();
  current = null;
  forget();
  // A question about a view that is left has no answer any more.
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  main.replaceChildren(skeleton());
  if (!entry) {
    setTitle("Not found");
    main.replaceChildren(
      h("h1", { tabindex: "-1" }, "No such page"),
      h(
        "p",
        {},
        "This address names no view. ",
        h("a", { class: "id", href: link("overview") }, "Back to the overview"),
      ),
    );
    return;
  }
  setTitle(entry.title);
  let module;
  try {
    module = await entry.load();
  } catch {
    if (mine === turn)
      main.replaceChildren(
        problemNotice(new Error("This part of the page could not be fetched from the console."), () =>
          location.reload(),
        ),
      );
    return;
  }
  if (mine !== turn) return;
  const view = module.create({ setTitle });
  current = { name, view };
  main.replaceChildren(view.el);
  const title = view.show?.({ ...wanted, name });
  if (title) setTitle(title);
  view.update?.(live);
  if (!firstView) {
    window.scrollTo(0, 0);
    (main.querySelector("[autofocus]") ?? main.querySelector("h1") ?? main).focus({ preventScroll: true });
  }
  if (firstView) setTimeout(warm, 1000);
  firstView = false;
}

// The menu.

const navList = document.getElementById("nav-list");
const menuButton = document.getElementById("menu-button");
navList.append(
  ...Object.entries(VIEWS)
    .filter(([, view]) => view.nav)
    .map(([name, view]) => h("li", {}, h("a", { href: link(name), "data-testid": `nav-${name}` }, view.title))),
);

function markNav(name) {
  for (const anchor of navList.querySelectorAll("a")) {
    const here = anchor.getAttribute("href") === link(name);
    if (here) anchor.setAttribute("aria-current", "page");
    else anchor.removeAttribute("aria-current");
  }
  document.body.classList.toggle("locked", locked());
}

function closeMenu() {
  menuButton.setAttribute("aria-expanded", "false");
}

menuButton.addEventListener("click", () => {
  menuButton.setAttribute("aria-expanded", String(menuButton.getAttribute("aria-expanded") !== "true"));
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && menuButton.getAttribute("aria-expanded") === "true") {
    closeMenu();
    menuButton.focus();
  }
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = new FormData(event.target).get("text");
  if (text.trim()) go(find(text));
});
document.getElementById("logout").addEventListener("click", async () => {
  try {
    await logout();
    locks();
  } catch (error) {
    failed("Logging out", error);
  }
});

// What is wrong, above everything, until it is over.

const banners = document.getElementById("banners");
const chip = document.getElementById("connection");

function banner(id, title, text) {
  let el = document.getElementById(id);
  if (text == null) {
    el?.remove();
    return;
  }
  if (!el) banners.append((el = h("p", { id, class: "banner", "data-testid": id }, h("strong"), " ", h("span"))));
  setText(el.firstElementChild, title);
  setText(el.lastElementChild, text);
}

function header() {
  const away = live.connection === "live" && live.redis && !live.redis.available;
  const seen = live.state
    ? `What is shown was true at ${dateTime(live.state.at_ms)}.`
    : "Nothing has been seen of it yet.";
  const [state, words] = locked()
    ? ["locked", "Logged out"]
    : live.connection === "lost"
      ? ["lost", "Reconnecting…"]
      : live.connection === "connecting"
        ? ["connecting", "Connecting…"]
        : away
          ? ["away", "Redis away"]
          : ["live", "Live"];
  chip.dataset.state = state;
  setText(chip, words);
  banner(
    "banner-console",
    "No connection to the console.",
    !locked() && live.connection === "lost" ? `Trying again every few seconds. ${seen}` : null,
  );
  banner(
    "banner-redis",
    "Redis is away.",
    !locked() && away
      ? `${live.redis.address}: ${live.redis.reason ?? "no answer"}. ${seen} This goes away by itself when Redis is back.`
      : null,
  );
  document.body.classList.toggle("stale", live.stale && !locked());
  setText(document.getElementById("stream-key"), session.stream);
  const mode = document.getElementById("mode");
  show(mode, session.read_only || session.demo);
  setText(mode, session.read_only ? "Read-only" : "Demo");
  show(document.getElementById("logout"), session.login_required && session.logged_in);
}

watch((state) => {
  header();
  current?.view.update?.(state);
});

/** After the session has changed: the live state runs only for those who may see it. */
function locks() {
  if (locked()) stop();
  else start();
  header();
  route();
}

document.addEventListener("console:unauthorised", async () => {
  if (locked()) return;
  session.login_required = true;
  session.logged_in = false;
  locks();
});
document.addEventListener("console:logged-in", locks);
window.addEventListener("hashchange", route);

async function begin() {
  try {
    await refresh();
  } catch (error) {
    live.connection = "lost";
    header();
    main.replaceChildren(problemNotice(error, begin));
    setTimeout(() => {
      if (!current && live.connection === "lost") begin();
    }, 3000);
    return;
  }
  live.connection = "connecting";
  locks();
}
begin();
