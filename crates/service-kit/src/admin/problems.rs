//! What a lever that could not be pulled answers.

use std::time::Duration;

use axum::http::StatusCode;
use stream_core::ControlError;

use crate::Problem;

/// When to try again what will soon be possible.
const SOON: Duration = Duration::from_secs(1);

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let (status, kind, title) = match &error {
            ControlError::UnknownConsumer(_) => {
                (StatusCode::NOT_FOUND, "/problems/unknown-consumer", "No such consumer here")
            }
            ControlError::InvalidName(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid-name", "Not a consumer's name")
            }
            ControlError::MinIdleTooShort { .. } => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "/problems/min-idle-too-short",
                "The idle time is too short",
            ),
            ControlError::Exists(_) | ControlError::Taken(_) => {
                (StatusCode::CONFLICT, "/problems/consumer-exists", "The consumer already exists")
            }
            ControlError::NoPeer { .. } => {
                (StatusCode::CONFLICT, "/problems/no-peer", "Nobody could take the entries over")
            }
            ControlError::NotAPeer(_) => (StatusCode::CONFLICT, "/problems/not-a-peer", "Not a live peer"),
            ControlError::Busy { .. } => {
                (StatusCode::CONFLICT, "/problems/consumer-busy", "The consumer is busy")
            }
            ControlError::FaultInjectionOff => {
                (StatusCode::FORBIDDEN, "/problems/fault-injection-off", "Fault injection is off")
            }
            ControlError::TimedOut(_) => {
                (StatusCode::GATEWAY_TIMEOUT, "/problems/timed-out", "No outcome in time")
            }
            ControlError::Redis(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "/problems/redis-away", "Redis is away")
            }
            _ => (StatusCode::SERVICE_UNAVAILABLE, "/problems/worker-not-running", "The worker does not run"),
        };
        let problem = Self::new(status, kind, title);
        match error {
            ControlError::NoPeer { pending, .. } => problem.with("pending", pending).detail(error.to_string()),
            ControlError::FaultInjectionOff => problem.detail(
                "set admin.fault_injection (ORDERFLOW__ADMIN__FAULT_INJECTION) to true, in a demo or a test, to enable it",
            ),
            ControlError::Busy { .. } | ControlError::Redis(_) => {
                problem.retry_after(SOON).detail(error.to_string())
            }
            error => problem.detail(error.to_string()),
        }
    }
}
