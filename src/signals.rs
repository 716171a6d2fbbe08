//! Signals as events: TERM and INT ask for a clean stop, HUP for a reload.
//!
//! The handlers only write a byte into a socket pair (`signal_hook::low_level::pipe`), so nothing
//! runs in signal context and no thread is needed. Does not decide what a signal leads to.

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Stop cleanly.
    Shutdown,
    /// Read the configuration again.
    Reload,
}

/// Starts to listen. Signals of one kind that arrive together are one event.
///
/// # Errors
/// Where a socket pair or a handler cannot be made.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn listen() -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(8);
    forward(&[SIGTERM, SIGINT], Signal::Shutdown, sender.clone())?;
    forward(&[SIGHUP], Signal::Reload, sender)?;
    Ok(receiver)
}

fn forward(numbers: &[i32], signal: Signal, sender: mpsc::Sender<Signal>) -> io::Result<()> {
    let (read, write) = StdStream::pair()?;
    for number in numbers {
        pipe::register(*number, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    let mut read = UnixStream::from_std(read)?;
    tokio::spawn(async move {
        let mut bytes = [0; 64];
        while let Ok(1..) = read.read(&mut bytes).await {
            if sender.send(signal).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
