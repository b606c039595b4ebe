//! [`Browser`]: a headless Chromium of a test's own, driven over `WebDriver`.
//!
//! `chromium` and `chromedriver` come from PATH, or are named by `CHROMIUM_BIN` and `CHROMEDRIVER_BIN`.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, wd::WebDriverCompatibleCommand};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{eventually, free_port};
use tokio::process::{Child, Command};
use url::ParseError;

/// How long anything that should happen soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// Chromium without a window, a sandbox (tests may run as root) or errands of its own on the network.
const ARGUMENTS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--hide-scrollbars",
];

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Width of the viewport, in CSS pixels.
    pub(crate) width: u32,
    /// Its height.
    pub(crate) height: u32,
    /// Whether the visitor prefers dark pages.
    pub(crate) dark: bool,
}

impl Look {
    /// A laptop.
    pub(crate) const LIGHT: Self = Self { width: 1280, height: 900, dark: false };
    /// The same at night.
    pub(crate) const DARK: Self = Self { width: 1280, height: 900, dark: true };
    /// A phone.
    pub(crate) const PHONE: Self = Self { width: 390, height: 844, dark: false };
    /// A screen on the wall.
    pub(crate) const WIDE: Self = Self { width: 1920, height: 1080, dark: false };
}

/// A browser and its driver. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Browser {
    /// The session.
    pub(crate) page: Client,
    _driver: Driver,
    _profile: TempDir,
}

/// The driver and, in its process group, the browser's processes.
#[derive(Debug)]
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        // Its group goes by its own ID. What has ended already needs no end.
        if let Some(pid) = self.0.id() {
            _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Browser {
    /// Starts one that shows nothing yet.
    ///
    /// # Panics
    ///
    /// If Chromium or its driver are not there, or do not start.
    pub(crate) async fn start(look: Look) -> Self {
        let profile = TempDir::with_prefix("orderflow-browser-").expect("a temporary directory can be made");
        let port = free_port();
        let chromedriver = program("CHROMEDRIVER_BIN", &["chromedriver"]);
        let driver = Command::new(&chromedriver)
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", chromedriver.display()));
        let driver = Driver(driver);
        let chromium = program("CHROMIUM_BIN", &["chromium", "chromium-browser", "google-chrome"]);
        let mut arguments: Vec<String> = ARGUMENTS.iter().map(ToString::to_string).collect();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let Value::Object(capabilities) = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
            // What scripts log, and what they fail with.
            "goog:loggingPrefs": { "browser": "ALL" },
        }) else {
            unreachable!("an object was written")
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let page = eventually(SOON, "the browser starts", async || {
            builder.connect(&url).await.map_err(|error| error.to_string())
        })
        .await;
        // The driver's end ends the session: nobody is to be asked for it.
        page.persist().await.expect("a session that runs");
        let browser = Self { page, _driver: driver, _profile: profile };
        browser.look(look).await;
        browser
    }

    /// Changes size and colours.
    pub(crate) async fn look(&self, look: Look) {
        let Look { width, height, dark } = look;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600
        });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    async fn devtools(&self, method: &str, parameters: Value) {
        let body = json!({ "cmd": method, "params": parameters });
        self.vendor("goog/cdp/execute", body).await;
    }

    /// Opens a page.
    pub(crate) async fn open(&self, url: &str) {
        self.page.goto(url).await.unwrap_or_else(|error| panic!("{url} does not open: {error}"));
    }

    /// What a script gives back: the body of a function, with `return`. The page's policy does not apply to it.
    pub(crate) async fn run(&self, script: &str) -> Value {
        let answer = self.page.execute(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// What a script gives back that calls `arguments[arguments.length - 1]` with it.
    pub(crate) async fn run_async(&self, script: &str) -> Value {
        let answer = self.page.execute_async(script, Vec::new()).await;
        answer.unwrap_or_else(|error| panic!("a script failed: {error}"))
    }

    /// Waits until the script's answer is the JSON value `true`; any other is told as the reason.
    pub(crate) async fn until(&self, what: &str, script: &str) {
        eventually(SOON, what, async || match self.run(script).await {
            Value::Bool(true) => Ok(()),
            other => Err(other.to_string()),
        })
        .await;
    }

    /// The text of the first element that fits the selector, as a person reads it; `None` if there is none.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let selector = json!(selector);
        let text = self.run(&format!("return document.querySelector({selector})?.innerText ?? null")).await;
        text.as_str().map(str::to_owned)
    }

    /// Waits until the text of the first element that fits the selector satisfies a condition; that text.
    pub(crate) async fn reads(&self, selector: &str, what: &str, is: impl Fn(&str) -> bool) -> String {
        eventually(SOON, what, async || match self.text(selector).await {
            Some(text) if is(&text) => Ok(text),
            other => Err(format!("{selector} reads {other:?}")),
        })
        .await
    }

    /// Scrolls the first element that fits the selector into view and clicks it, as a person would: it must be
    /// visible, enabled, and not behind another.
    pub(crate) async fn click(&self, selector: &str) {
        let centre = format!(
            "document.querySelector({})?.scrollIntoView({{block: 'center', behavior: 'instant'}})",
            json!(selector)
        );
        eventually(SOON, &format!("{selector} can be clicked"), async || {
            self.run(&centre).await;
            let found = self.page.find(Locator::Css(selector)).await.map_err(|error| error.to_string())?;
            found.click().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Empties a field and types into it.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        eventually(SOON, &format!("{selector} can be filled"), async || {
            let found = self.page.find(Locator::Css(selector)).await.map_err(|error| error.to_string())?;
            found.clear().await.map_err(|error| error.to_string())?;
            found.send_keys(text).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Chooses an option by its value.
    pub(crate) async fn choose(&self, selector: &str, value: &str) {
        self.until(
            &format!("{selector} offers {value}"),
            &format!(
                "const field = document.querySelector({}); const value = {};
                 if (!field || ![...field.options].some(it => it.value === value)) return field?.outerHTML ?? null;
                 field.value = value;
                 field.dispatchEvent(new Event('input', {{bubbles: true}}));
                 field.dispatchEvent(new Event('change', {{bubbles: true}}));
                 return true",
                json!(selector),
                json!(value)
            ),
        )
        .await;
    }

    /// What scripts have failed with or complained of since the last look: nothing, on a page that is well.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let log = self.vendor("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("the browser keeps a log").iter();
        let serious = entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A command beyond the standard.
    async fn vendor(&self, command: &'static str, body: Value) -> Value {
        let answer = self.page.issue_cmd(Vendor { command, body }).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Writes what is shown to `<target directory>/screenshots/<name>.png`, to be looked at.
    pub(crate) async fn screenshot(&self, name: &str) {
        let path = screenshots().join(format!("{name}.png"));
        let picture = self.page.screenshot().await.expect("the browser draws");
        std::fs::write(&path, picture).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// `POST /session/{id}/{command}` of Chromium's driver.
#[derive(Debug)]
struct Vendor {
    command: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.command))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// Cargo's target directory, above the profile's that the tests run from.
pub(crate) fn target_dir() -> PathBuf {
    let test = env::current_exe().expect("a running test has a path");
    test.ancestors().nth(3).expect("tests run from target/<profile>/deps").to_owned()
}

fn screenshots() -> PathBuf {
    let directory = target_dir().join("screenshots");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    directory
}

fn program(variable: &str, names: &[&str]) -> PathBuf {
    if let Some(named) = env::var_os(variable).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
        .find(|candidate| Path::is_file(candidate));
    found.unwrap_or_else(|| {
        panic!("{} is not in PATH; `make test` installs it, or {variable} names it", names.join(" or "))
    })
}
