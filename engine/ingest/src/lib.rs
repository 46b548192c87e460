//! watchfire-ingest.
