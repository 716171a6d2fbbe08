//! The terminals of those who are logged in, as systemd-logind knows them, asked over D-Bus.
//!
//! Source: `org.freedesktop.login1(5)`: `ListSessions` of the manager, `TTY` of a session.

use std::time::Duration;

use zbus::Connection;
use zbus::zvariant::OwnedObjectPath;

use super::units::{UnitError, proxy_to};

const BUS: &str = "org.freedesktop.login1";
const MANAGER: &str = "/org/freedesktop/login1";
/// For all of it.
const DEADLINE: Duration = Duration::from_secs(3);
/// Most sessions that are asked.
const MOST: usize = 256;

/// Names below `/dev`, as `tty1` and `pts/0`; a session without a terminal has none.
///
/// # Errors
/// Where there is no systemd, or logind does not answer.
pub async fn terminals() -> Result<Vec<String>, UnitError> {
    super::units::booted()?;
    super::units::within(DEADLINE, "list the sessions of", BUS, async {
        let bus = Connection::system().await?;
        let manager = proxy_to(&bus, BUS, MANAGER.try_into()?, "Manager").await?;
        let sessions: Vec<(String, u32, String, String, OwnedObjectPath)> =
            manager.call("ListSessions", &()).await?;
        let mut terminals = Vec::new();
        for (.., path) in sessions.into_iter().take(MOST) {
            let session = proxy_to(&bus, BUS, path, "Session").await?;
            // One that has just ended is no failure of the others.
            let name: String = session.get_property("TTY").await.unwrap_or_default();
            if !name.is_empty() {
                terminals.push(name);
            }
        }
        Ok(terminals)
    })
    .await
}
