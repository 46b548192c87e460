//! watchfire-store.
