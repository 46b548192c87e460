//! watchfire-rules.
