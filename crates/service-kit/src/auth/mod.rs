//! Who may do what: API keys with scopes and rate limits, presented as `Authorization: Bearer` or `X-API-Key`.
//!
//! [`Startup`] decides from the configuration whether keys are asked for, and refuses to leave a process open by
//! accident. The [`Authenticator`] knows the keys of this moment: those of the configuration, and those of
//! `auth.keys_file`, which is read again whenever it has changed. [`Authenticator::protect`] puts a router behind it; a
//! handler finds the [`Caller`] among the request's extensions, and charges it for what costs more than a request.
//!
//! Only hashes of keys are known here. They are compared in constant time, each of them for every request; no lock is
//! taken for a request that is let in.

mod attempts;
mod authenticator;
mod caller;
mod credentials;
mod digest;
mod failures;
mod keyring;
mod keys_file;
mod layer;
mod limit;
mod metrics;
mod refusal;
mod scope;
mod startup;
#[cfg(test)]
mod tests;

pub use attempts::Attempts;
pub use authenticator::Authenticator;
pub use caller::{Caller, OverLimit};
pub use credentials::API_KEY;
pub use digest::Digest;
pub use layer::{ScopeOf, address, charged, read_only, read_or_produce};
pub use refusal::Refusal;
pub use scope::{Scope, Scopes};
pub use startup::Startup;
