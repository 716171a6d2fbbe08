//! The pods' own probes, asked by the daemon.
