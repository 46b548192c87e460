//! watchfire.
