//! The end-to-end tests: one package, one binary.
fn main() {}
