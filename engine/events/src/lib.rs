//! watchfire-events.
