//! The contract of `sdk/wit` as Rust types, generated, for both versions that this host speaks. They do not leave this
//! crate; what `types` and `alerts` declare is the same in both, and is generated once.

pub(crate) mod v0_2 {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit",
        world: "watchfire:plugin/all-plugin",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
    });
}

pub(crate) mod v0_1 {
    wasmtime::component::bindgen!({
        path: "../../sdk/wit/0.1",
        world: "watchfire:plugin/all-plugin",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
        require_store_data_send: true,
        with: {
            "watchfire:plugin/types@0.1.0": crate::bindings::v0_2::watchfire::plugin::types,
            "watchfire:plugin/alerts@0.1.0": crate::bindings::v0_2::watchfire::plugin::alerts,
        },
    });
}
