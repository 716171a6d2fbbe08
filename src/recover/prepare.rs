//! From a source to the files of an asset tree: read, planned, settled with this host. What
//! `rekindle recover` writes, and what recovery mode starts its temporary control plane from.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};

use super::certificates::{self, About};
use super::host::Host;
use super::kubeconfig::{self, Kubeconfig, KubeconfigError};
use super::tree::{Asset, KUBECONFIG, TreeError, assets};
use super::{Source, SourceError, Want, read};
use crate::core::manifest::names::hex;
use crate::core::recover::found::Found;
use crate::core::recover::plan::{Backup, Bytes, Mistakes, Plan, Wanted, plan};
use crate::daemon::clock;

/// What to prepare.
#[derive(Debug)]
pub struct Order {
    /// Where to read.
    pub source: Source,
    /// What, and how.
    pub want: Want,
    /// The source in words.
    pub words: String,
    /// An administrator's kubeconfig, copied into the tree.
    pub kubeconfig: Option<PathBuf>,
    /// Where the API server shall find etcd, in place of what is recorded.
    pub etcd_endpoints: Vec<String>,
    /// This host's address, in place of recorded ones that it does not have.
    pub node_address: Option<IpAddr>,
    /// Certificates are issued anew where they must be and can be.
    pub reissue: bool,
}

/// What would be written.
#[derive(Debug)]
pub struct Prepared {
    /// The plan, with its warnings.
    pub plan: Plan,
    /// Its files, in the order in which they are written.
    pub assets: Vec<Asset>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The kubeconfig.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something is missing, or cannot be used: all of it.
    #[error("{} things stand in the way of a recovery: {}", .0.0.len(), .0.0.join("; "))]
    Mistakes(Mistakes),
    /// A file cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// No token can be made.
    #[error("the kernel gives no random bytes")]
    NoRandom,
}

/// Prepares; writes nothing.
///
/// # Errors
/// The first reason not to, or all that are of the objects themselves.
pub async fn prepare(order: &Order) -> Result<Prepared, PrepareError> {
    let kubeconfig = order.kubeconfig.as_deref().map(kubeconfig::load);
    let kubeconfig = kubeconfig.transpose()?;
    let found = read(&order.source, &order.want).await?;
    let host = Host::read();
    let mut plan = planned(order, kubeconfig, &host, &found)?;
    certificates::settle(
        &mut plan,
        &found,
        &About {
            now: clock::wall(),
            host: &host,
            node_address: order.node_address,
            reissue: order.reissue,
        },
    );
    let assets = assets(&plan)?;
    Ok(Prepared { plan, assets })
}

fn planned(
    order: &Order,
    kubeconfig: Option<Kubeconfig>,
    host: &Host,
    found: &Found,
) -> Result<Plan, PrepareError> {
    let addresses = host.addresses.iter().map(IpAddr::to_string).collect();
    let node_address = order.node_address.map(|address| address.to_string());
    let token = token()?;
    let file = match &order.source {
        Source::File(path) => Some(snapshot_in(path).display().to_string()),
        Source::ApiServer { .. } | Source::Etcd { .. } => None,
    };
    let backup = file.as_deref().map(|path| Backup {
        path,
        plain: Path::new(path).extension().is_none_or(|end| end != "zst"),
        prefix: &order.want.prefix,
        token: &token,
    });
    let wanted = Wanted {
        looked_in: &order.words,
        kubeconfig: kubeconfig.is_some(),
        etcd_endpoints: &order.etcd_endpoints,
        node_address: node_address.as_deref(),
        host_addresses: &addresses,
        backup,
    };
    let mut plan = plan(found, &wanted).map_err(PrepareError::Mistakes)?;
    if let Some(address) = order.node_address
        && !host.addresses.is_empty()
        && !host.addresses.contains(&address)
    {
        plan.warnings
            .push(format!("this host does not have the address {address}"));
    }
    if let Some(kubeconfig) = kubeconfig {
        plan.warnings.extend(kubeconfig.warnings);
        plan.files
            .insert(KUBECONFIG.to_owned(), Bytes(kubeconfig.bytes));
    }
    Ok(plan)
}

/// The snapshot of one of our backups; any other file is one itself.
fn snapshot_in(path: &Path) -> PathBuf {
    let names = ["snapshot.db", "snapshot.db.zst"].map(|name| path.join(name));
    let inside = names.into_iter().find(|inside| inside.is_file());
    inside.unwrap_or_else(|| path.to_owned())
}

fn token() -> Result<String, PrepareError> {
    let mut bytes = [0; 16];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(format!("rekindle-recovery-{}", hex(&bytes))),
        Err(_) => Err(PrepareError::NoRandom),
    }
}
