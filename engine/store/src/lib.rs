//! What outlives the process: the log of accepted input, and the database of what the engine decided.

pub mod log;
