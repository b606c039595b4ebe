//! The metrics that every process exports: what it is, and what it uses.

use prometheus::{IntGaugeVec, Opts, Registry};

use super::REVISION;

/// Registers `build_info` and the process collector.
///
/// # Errors
/// If the registry already has them.
pub fn register_process_metrics(
    registry: &Registry,
    service: &str,
    version: &str,
) -> Result<(), prometheus::Error> {
    let opts = Opts::new("build_info", "Always 1; the labels say what is running.");
    let build_info = IntGaugeVec::new(opts, &["service", "version", "revision"])?;
    build_info.with_label_values(&[service, version, REVISION]).set(1);
    registry.register(Box::new(build_info))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_info_and_process_metrics_are_exported() {
        let registry = Registry::new();
        register_process_metrics(&registry, "reaper", "1.2.3").unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let line = format!("build_info{{revision=\"{REVISION}\",service=\"reaper\",version=\"1.2.3\"}} 1");
        assert!(text.contains(&line), "{text}");
        #[cfg(target_os = "linux")]
        assert!(text.contains("process_resident_memory_bytes"), "{text}");
    }
}
