//! Named crash points of the kill tests.
