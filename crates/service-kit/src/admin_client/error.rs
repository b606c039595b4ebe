//! Why a worker did not do what it was asked to.

use crate::{Problem, http_client};

/// A worker was not asked, did not answer, or refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The worker does not say where it can be reached.
    #[error("the worker does not say where it can be reached; set worker.advertise there")]
    NoAddress,
    /// What it says is no address.
    #[error("the worker's address {address:?} cannot be used: {reason}; set worker.advertise there")]
    NotAnAddress {
        /// What it says.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no token to present.
    #[error(
        "the worker at {address} asks for its admin.token; set ORDERFLOW__ADMIN__TOKEN (or \
         ORDERFLOW__ADMIN__TOKEN__FILE) to it"
    )]
    NoToken {
        /// Where the worker is.
        address: String,
    },
    /// It did not answer. Unless no connection was made, it may have done what it was asked to.
    #[error("the worker at {address} does not answer: {reason}")]
    Unreachable {
        /// Where the worker is said to be.
        address: String,
        /// What the system said.
        reason: String,
        /// Whether no connection was made, so that surely nothing was done.
        never_asked: bool,
    },
    /// It answered with a problem.
    #[error("the worker at {address} answers {}: {}", problem.status().as_u16(), problem.message())]
    Refused {
        /// Where the worker is.
        address: String,
        /// Its problem.
        problem: Box<Problem>,
    },
    /// Whatever is there answers something else.
    #[error("the answer of the worker at {address} cannot be read: {reason}")]
    Unreadable {
        /// Where it is.
        address: String,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl AdminError {
    pub(super) fn unreachable(address: String, error: &reqwest::Error) -> Self {
        Self::Unreachable { address, reason: http_client::cause(error), never_asked: error.is_connect() }
    }
}
