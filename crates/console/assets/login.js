// The login: a token, exchanged for a cookie that scripts cannot read.

import { h, setText, show } from "./dom.js";
import { login, session } from "./session.js";
import { act, field, input, viewHead } from "./ui.js";

export function create() {
  const token = input("password", "token", {
    required: true,
    autofocus: true,
    autocomplete: "current-password",
    "data-testid": "login-token",
  });
  const wrong = h("p", { class: "notice problem", role: "alert", hidden: true, "data-testid": "login-problem" });
  const enter = h("button", { type: "submit", class: "primary", "data-testid": "login-submit" }, "Log in");
  const form = h(
    "form",
    {
      class: "panel narrow",
      "data-testid": "login-form",
      onsubmit: (event) => {
        event.preventDefault();
        act(enter, "Logging in", async () => {
          show(wrong, false);
          try {
            await login(token.value);
          } catch (error) {
            setText(wrong, error.status === 401 ? "This is not the console's token." : error.message);
            show(wrong, true);
            token.select();
            return;
          }
          document.dispatchEvent(new CustomEvent("console:logged-in"));
        });
      },
    },
    field("Token", token, "The value of console.token in the configuration."),
    wrong,
    h("div", { class: "controls" }, enter),
  );
  return {
    el: h(
      "div",
      {},
      viewHead("Log in", `This console asks for a token before it shows ${session.stream || "the stream"}.`),
      form,
    ),
  };
}
