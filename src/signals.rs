//! Signals as events, through signal-hook.
