//! Prometheus metrics, rendered from the published report.
