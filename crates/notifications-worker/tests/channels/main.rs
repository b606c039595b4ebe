//! The service against a real Redis, a real mail server and receivers of webhooks, all of them with their faults.

#![expect(clippy::float_cmp, reason = "metrics that count are whole numbers")]

mod bench;
mod crashes;
mod hooks;
mod injection;
mod mail;
mod mail_server;
mod outages;
mod private;
mod receiver;
mod settings;
