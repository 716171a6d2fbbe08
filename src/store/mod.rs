//! Durable files: state, revisions, the one writer.
