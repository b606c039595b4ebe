//! The middleware: a request goes on if its caller may do what it asks for.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{Extensions, Method},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::{Authenticator, Caller, Scope};
use crate::Problem;

/// What a request of this method needs.
pub type ScopeOf = fn(&Method) -> Scope;

#[derive(Debug, Clone)]
struct Guard {
    authenticator: Authenticator,
    scope_of: ScopeOf,
}

impl Authenticator {
    /// The router behind a guard: whatever is asked of it, paths that it does not know included, needs the scope of its
    /// method. The [`Caller`] is among the request's extensions. What is added to the router afterwards is open.
    pub fn protect<S: Clone + Send + Sync + 'static>(
        &self,
        router: Router<S>,
        scope_of: ScopeOf,
    ) -> Router<S> {
        let guard = Guard { authenticator: self.clone(), scope_of };
        router.layer(middleware::from_fn_with_state(guard, admit))
    }
}

/// Reading needs `read`.
pub fn read_only(_: &Method) -> Scope {
    Scope::Read
}

/// Reading needs `read`, all else `produce`.
pub fn read_or_produce(method: &Method) -> Scope {
    if method.is_safe() { Scope::Read } else { Scope::Produce }
}

/// Where a request comes from: the other end of its connection, whatever its headers say.
pub fn address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get().map(|ConnectInfo::<SocketAddr>(from)| from.ip())
}

async fn admit(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let scope = (guard.scope_of)(request.method());
    let from = address(request.extensions());
    match guard.authenticator.admit(request.headers(), from, scope) {
        Ok(caller) => charged(caller, request, next).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Charges the caller for the request, lets it go on, and tells what is left of the caller's limit.
pub async fn charged(caller: Caller, mut request: Request, next: Next) -> Response {
    let mut response = match caller.enter() {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(over) => Problem::from(over).into_response(),
    };
    caller.tell(response.headers_mut());
    response
}
