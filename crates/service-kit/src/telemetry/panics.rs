//! Panics are lines in the log like any other.

/// Logs panics instead of printing them.
pub(super) fn log() {
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        message = "panicked",
        panic = text.unwrap_or("not text"),
        location = panic.location().map(tracing::field::display),
        thread = std::thread::current().name(),
        backtrace = %std::backtrace::Backtrace::capture(),
    );
}
