//! The service against a real Redis, a real mail server and receivers of webhooks, all of them with their faults.

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
