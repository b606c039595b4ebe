//! The console's page as a test sees it: its parts by their `data-testid`, and waiting for what they show.

use serde_json::json;

use crate::browser::{Browser, Look};

/// The selector of a part of the page.
pub(crate) fn part(testid: &str) -> String {
    format!("[data-testid={}]", json!(testid))
}

/// The selector of a cell in a consumer's row.
pub(crate) fn cell(group: &str, consumer: &str, field: &str) -> String {
    format!("{} [data-field={}]", part(&format!("consumer-{group}-{consumer}")), json!(field))
}

/// The console, open in a browser.
pub(crate) struct Page {
    pub(crate) browser: Browser,
    url: String,
}

impl Page {
    /// Opens the console at `url` (without a slash at its end).
    pub(crate) async fn open(url: &str, look: Look) -> Self {
        let page = Self { browser: Browser::start(look).await, url: url.to_owned() };
        page.browser.open(&format!("{url}/")).await;
        page
    }

    /// Goes to a view, such as `pending` or `entries/5-1`, by its address.
    pub(crate) async fn view(&self, view: &str) {
        self.browser.open(&format!("{}/#/{view}", self.url)).await;
    }

    pub(crate) async fn click(&self, testid: &str) {
        self.browser.click(&part(testid)).await;
    }

    pub(crate) async fn fill(&self, testid: &str, text: &str) {
        self.browser.fill(&part(testid), text).await;
    }

    pub(crate) async fn choose(&self, testid: &str, value: &str) {
        self.browser.choose(&part(testid), value).await;
    }

    /// Waits until the machine-readable value of a part (`data-value`) is this.
    pub(crate) async fn value(&self, selector: &str, value: u64) {
        let script = format!(
            "const found = document.querySelector({}); if (found?.dataset.value === '{value}') return true;
             return found ? found.outerHTML.slice(0, 300) : null",
            json!(selector)
        );
        self.browser.until(&format!("{selector} is {value}"), &script).await;
    }

    /// Waits until the text of a part holds this.
    pub(crate) async fn says(&self, testid: &str, text: &str) -> String {
        let what = format!("{testid} says {text:?}");
        self.browser.reads(&part(testid), &what, |found| found.contains(text)).await
    }

    /// Waits for a message, of a lever that was pulled (`done`) or that could not be (`failed`), that holds this.
    pub(crate) async fn toast(&self, text: &str) {
        let script = format!(
            "const said = [...document.querySelectorAll('[data-testid^=toast-]')].map(it => it.innerText);
             return said.some(it => it.includes({})) || said",
            json!(text)
        );
        self.browser.until(&format!("a message says {text:?}"), &script).await;
    }

    /// Waits until so many elements fit the selector.
    pub(crate) async fn count(&self, selector: &str, count: usize) {
        let script = format!(
            "const found = document.querySelectorAll({}).length; return found === {count} || found",
            json!(selector)
        );
        self.browser.until(&format!("{count} of {selector}"), &script).await;
    }

    /// Waits until nothing is being fetched for the first time.
    pub(crate) async fn loaded(&self) {
        let waits = "return [...document.querySelectorAll('.skeleton')].every(it => !it.checkVisibility())";
        self.browser.until("nothing is loading", waits).await;
    }

    /// Produces events with the form on the overview.
    pub(crate) async fn produce(&self, count: u32) {
        self.fill("produce-count", &count.to_string()).await;
        self.click("produce-submit").await;
    }

    /// Fails if scripts failed or complained, but for what a test expects.
    pub(crate) async fn is_well(&self, expected: &[&str]) {
        let complaints = self.browser.complaints().await;
        let odd: Vec<_> =
            complaints.iter().filter(|it| !expected.iter().any(|known| it.contains(known))).collect();
        assert!(odd.is_empty(), "the page complains: {odd:#?}");
    }
}
