//! watchfire-promql.
