//! A probe that opens a TCP connection: accepted passes.

use tokio::net::TcpStream;

pub(super) async fn ask(host: &str, port: u16) -> Result<(), String> {
    match TcpStream::connect((host, port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("TCP {host}:{port}: {error}")),
    }
}
