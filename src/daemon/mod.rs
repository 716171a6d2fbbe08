//! The loop: observe, decide, commit, execute.
