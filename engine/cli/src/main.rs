//! The binary `watchfire`.
fn main() {}
