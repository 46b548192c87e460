//! watchfire-scenario.
