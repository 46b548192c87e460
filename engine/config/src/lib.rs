//! watchfire-config.
