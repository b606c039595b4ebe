//! What the ports of a process show of their connections.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::activity::Cut;

/// The metrics of all ports of a process.
#[derive(Debug, Clone)]
pub(super) struct HttpMetrics {
    open: IntGaugeVec,
    accepted: IntCounterVec,
    full: IntCounterVec,
    accept_errors: IntCounterVec,
    cut: IntCounterVec,
    not_after: IntGaugeVec,
    reload_failed: IntGaugeVec,
}

impl HttpMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &["listener"]);
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &["listener"]);
        let cut = Opts::new("http_connections_cut_total", "Connections and requests cut off, by why");
        Ok(Self {
            open: gauge("http_connections", "Open connections")?,
            accepted: counter("http_connections_accepted_total", "Connections accepted")?,
            full: counter(
                "http_connections_limit_reached_total",
                "Times http.max_connections were open and further clients had to wait",
            )?,
            accept_errors: counter(
                "http_accept_errors_total",
                "Connections that could not be accepted, mostly for want of file descriptors",
            )?,
            cut: IntCounterVec::new(cut, &["listener", "reason"])?,
            not_after: gauge(
                "tls_certificate_not_after_timestamp_seconds",
                "Unix time at which the first certificate of the chain that is served ends; 0 without TLS",
            )?,
            reload_failed: gauge(
                "tls_certificate_reload_failed",
                "1 while the files of the certificate hold something that cannot be used; the old one is served on",
            )?,
        })
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.open.clone()))?;
        registry.register(Box::new(self.accepted.clone()))?;
        registry.register(Box::new(self.full.clone()))?;
        registry.register(Box::new(self.accept_errors.clone()))?;
        registry.register(Box::new(self.cut.clone()))?;
        registry.register(Box::new(self.not_after.clone()))?;
        registry.register(Box::new(self.reload_failed.clone()))
    }

    /// Those of one port; every series exists from now on.
    pub(super) fn of(&self, listener: &str) -> ListenerMetrics {
        let labels = &[listener];
        ListenerMetrics {
            open: self.open.with_label_values(labels),
            accepted: self.accepted.with_label_values(labels),
            full: self.full.with_label_values(labels),
            accept_errors: self.accept_errors.with_label_values(labels),
            cut: Cut::ALL.map(|cut| self.cut.with_label_values(&[listener, cut.label()])),
        }
    }

    /// Those of the certificate of a port, if it has one.
    pub(super) fn of_tls(&self, listener: &str) -> TlsMetrics {
        TlsMetrics {
            not_after: self.not_after.with_label_values(&[listener]),
            reload_failed: self.reload_failed.with_label_values(&[listener]),
        }
    }
}

/// The metrics of one port.
#[derive(Debug, Clone)]
pub(super) struct ListenerMetrics {
    pub(super) open: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) full: IntCounter,
    pub(super) accept_errors: IntCounter,
    cut: [IntCounter; Cut::ALL.len()],
}

impl ListenerMetrics {
    /// Counts what was cut off.
    pub(super) fn cut(&self, cut: Cut) {
        self.cut[cut as usize].inc();
    }
}

/// The metrics of the certificate of one port.
#[derive(Debug, Clone)]
pub(crate) struct TlsMetrics {
    pub(crate) not_after: IntGauge,
    pub(crate) reload_failed: IntGauge,
}
