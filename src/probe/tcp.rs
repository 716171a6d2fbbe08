//! A probe that opens a TCP connection: accepted passes.

use std::io::ErrorKind;

use tokio::net::TcpStream;

use super::Failure;

pub(super) async fn ask(host: &str, port: u16) -> Result<(), Failure> {
    match TcpStream::connect((host, port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure {
            text: format!("TCP {host}:{port}: {error}"),
            closed: error.kind() == ErrorKind::ConnectionRefused,
        }),
    }
}
