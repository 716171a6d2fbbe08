//! Configuration: fragments as written, merged, validated into settings.
