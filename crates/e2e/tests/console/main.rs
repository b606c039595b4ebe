//! The console in a real browser, against the real services: what the guide's page can do, what operators miss in it,
//! what it makes of hostile entries and of a Redis that goes away, how it looks and whether everybody can use it.
//!
//! Elements are found by their `data-testid`, which are part of the page. Screenshots go to `<target>/screenshots`.

mod browser;
mod dead_letters;
mod guide;
mod hostile;
mod looks;
mod outage;
mod page;
mod script;
