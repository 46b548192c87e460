//! watchfire-alerting.
