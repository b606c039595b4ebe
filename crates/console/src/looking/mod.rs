//! What can be looked at: pages of the stream, of pending lists and of dead letters, one entry, one order, the server.

pub(crate) mod dead_letters;
pub(crate) mod entries;
pub(crate) mod entry;
pub(crate) mod order;
pub(crate) mod pending;
pub(crate) mod server;
