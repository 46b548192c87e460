//! watchfire-host.
