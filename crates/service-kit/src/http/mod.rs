//! How every port of every service is bound and served: one loop for the ops port and the public ones, with bounds
//! against clients that are many, slow, silent or verbose.
//!
//! HTTP/1.1 and HTTP/2 on one port: over TLS as ALPN says, in the clear by prior knowledge (RFC 9113, 3.3).

mod activity;
mod bind;
mod body;
mod connection;
mod head;
mod io;
mod listeners;
mod metrics;
mod throttle;

pub use bind::{BindError, bind, dialable};
pub use body::{BodyTimeout, is_body_timeout};
pub use connection::OverTls;
pub use listeners::{ListenError, Listener, Listeners, Port};
pub(crate) use metrics::TlsMetrics;
