//! watchfire-tsdb.
