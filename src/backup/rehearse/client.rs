//! A client of the rehearsed etcd through its Unix socket: [`etcd_client`] itself takes only HTTP
//! addresses.

use std::path::PathBuf;

use etcd_client::{BalancedChannelBuilder, Channel, Client, Error};
use http::Uri;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tonic::transport::channel::Change;
use tonic::transport::{self, Endpoint};

type Changes = Receiver<Change<Uri, Endpoint>>;

/// A client that connects when it is first asked.
pub(super) async fn connect(socket: PathBuf) -> Result<Client, Error> {
    let mut changes = None;
    // The address is only a name: the channel is there already.
    Client::connect_with_balanced_channel(["http://localhost"], None, Unix(socket, &mut changes))
        .await
}

/// The socket, and the end of a pipe that nobody reads but somebody must hold.
struct Unix<'a>(PathBuf, &'a mut Option<Changes>);

impl BalancedChannelBuilder for Unix<'_> {
    type Error = transport::Error;

    fn balanced_channel(
        self,
        size: usize,
    ) -> Result<(Channel, Sender<Change<Uri, Endpoint>>), transport::Error> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.0.display()))?;
        let (sender, changes) = channel(size);
        *self.1 = Some(changes);
        Ok((Channel::Tonic(endpoint.connect_lazy()), sender))
    }
}
