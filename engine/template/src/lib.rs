//! watchfire-template.
