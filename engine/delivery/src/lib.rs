//! watchfire-delivery.
