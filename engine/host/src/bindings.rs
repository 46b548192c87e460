//! The contract of `sdk/wit` as Rust types, generated. They do not leave this crate.

wasmtime::component::bindgen!({
    path: "../../sdk/wit",
    world: "watchfire:plugin/all-plugin",
    imports: { default: trappable },
    ownership: Borrowing { duplicate_if_necessary: true },
    require_store_data_send: true,
});
