//! Watchfire inside another program: a small shop that watches itself.
//!
//! The shop is an axum application. It starts the engine from values instead of files, pushes a sample and an event for
//! every order, adds a condition and a channel of its own in Rust, shows the engine's pages under its own address, and
//! shuts everything down cleanly. Run it with `cargo run --package embed`, then
//! `curl -X POST http://127.0.0.1:8080/orders/slow` a few times.

mod shop;

use anyhow::Result;
use shop::{Pager, Shop};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<()> {
    let data = std::env::temp_dir().join("watchfire-embed-example");
    let pager = Pager::default();
    let shop = Shop::start(&data, pager.clone()).await?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("the shop is open at http://{}/ ; the engine's pages are there too", listener.local_addr()?);
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    shop.serve(listener, interrupted).await;
    shop.close().await;
    println!("closed; {} pages were sent", pager.pages().len());
    Ok(())
}
