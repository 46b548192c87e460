//! watchfire-server.
