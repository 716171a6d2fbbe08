//! A way to a port that can be cut: connections through it break, new ones are not let in.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub struct Way {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    /// Both ends of every connection.
    open: Mutex<Vec<TcpStream>>,
}

impl Way {
    /// A new port of 127.0.0.1 that leads to `target`. In threads of its own: tests block theirs.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for inner in listener.incoming().map_while(Result::ok) {
                if shared.cut.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(outer) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                join(&shared, &inner, &outer);
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for end in self.state.open.lock().unwrap().drain(..) {
            end.shutdown(Shutdown::Both).ok();
        }
        // Wakes the listener, which sees that it is over.
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Passes bytes on in both directions until one side ends.
fn join(state: &State, inner: &TcpStream, outer: &TcpStream) {
    for (from, to) in [(inner, outer), (outer, inner)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        state.open.lock().unwrap().push(from.try_clone().unwrap());
        thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            from.shutdown(Shutdown::Both).ok();
            to.shutdown(Shutdown::Both).ok();
        });
    }
}
