//! A mail server that keeps what it gets: just enough of RFC 5321 for a real client to deliver to it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::inbox::Inbox;

/// The largest mail that is taken; the demo's own are a few kilobytes.
const MAIL_BYTES_MAX: u64 = 1 << 20;

/// Listens on a free port of this machine and puts every mail into the inbox.
pub(crate) async fn start(inbox: Arc<Inbox>) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let inbox = Arc::clone(&inbox);
            tokio::spawn(async move {
                if let Err(error) = converse(stream, &inbox).await {
                    tracing::debug!(%error, "a mail client went away");
                }
            });
        }
    });
    Ok(address)
}

async fn converse(stream: TcpStream, inbox: &Inbox) -> std::io::Result<()> {
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input.take(MAIL_BYTES_MAX));
    output.write_all(b"220 demo inbox\r\n").await?;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-demo inbox\r\n250 8BITMIME\r\n",
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => b"250 OK\r\n",
            "DATA" => {
                output.write_all(b"354 go on\r\n").await?;
                let mail = read_mail(&mut input).await?;
                inbox.add_mail(&mail);
                b"250 kept\r\n"
            }
            "QUIT" => {
                output.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"502 not offered here\r\n",
        };
        output.write_all(answer).await?;
    }
}

/// Everything up to the line with a single dot, with doubled leading dots made single again.
async fn read_mail(input: &mut (impl AsyncBufReadExt + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut mail = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" || line == b".\n" {
            return Ok(mail);
        }
        mail.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
