//! systemd notification: readiness, status, watchdog.
