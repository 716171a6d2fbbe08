//! The source that the options name, and every mistake in how they name it.

use std::path::Path;
use std::sync::Arc;

use super::Options;
use crate::backup::signing::Trust;
use crate::cli::absolute;
use crate::cli::exit::{Exit, Failure};
use crate::config::Settings;
use crate::encryption::EncryptionConfiguration;
use crate::fetch::files::read;
use crate::recover::{Source, Want};

/// What to read.
pub(super) struct Asked {
    pub(super) source: Source,
    pub(super) want: Want,
    /// The source, as bootkube told it.
    pub(super) words: String,
}

impl Asked {
    /// Reads the options and the files that they name.
    pub(super) fn of(options: &Options, settings: &Settings) -> Result<Self, Failure> {
        let mistakes = mistakes(options);
        if !mistakes.is_empty() {
            return Err(Failure::Told {
                exit: Exit::Usage,
                message: mistakes.join("\n"),
                hint: Some("see `rekindle recover --help`".to_owned()),
            });
        }
        let (source, words) = source(options)?;
        let encryption = options.encryption_config.as_deref().map(encryption);
        let trust = if options.allow_unsigned {
            None
        } else {
            let configured = settings.backup.trusted_key_files.as_slice();
            let keys = [configured, options.trusted_key.as_slice()].concat();
            let trust = Trust::of(&settings.paths.state_dir, &keys);
            Some(trust.map_err(|error| Failure::of(Exit::No, &error).maybe_hint(error.hint()))?)
        };
        let want = Want {
            namespace: options.namespace.clone(),
            prefix: options.etcd_prefix.clone(),
            encryption: encryption.transpose()?,
            trust,
            ..Want::default()
        };
        Ok(Self {
            source,
            want,
            words,
        })
    }
}

/// The rules of bootkube's command line (`predecessor.md` 2.1), but that a kubeconfig is needed
/// only to ask the API server.
fn mistakes(options: &Options) -> Vec<String> {
    let file = options.etcd_backup_file.is_some();
    let servers = !options.etcd_servers.is_empty();
    let (certificate, key) = (
        options.etcd_certificate_path.is_some(),
        options.etcd_private_key_path.is_some(),
    );
    let tls = certificate || key || options.etcd_ca_path.is_some();
    let all = [
        (
            file && servers,
            "--etcd-backup-file and --etcd-servers are two sources: give one",
        ),
        (
            certificate != key,
            "--etcd-certificate-path and --etcd-private-key-path are given both or not at all",
        ),
        (
            tls && !servers,
            "--etcd-ca-path, --etcd-certificate-path and --etcd-private-key-path are for \
             --etcd-servers",
        ),
        (
            options.etcd_servers.iter().any(String::is_empty),
            "--etcd-servers has an empty entry",
        ),
        (
            options.etcd_endpoint.iter().any(|url| !is_url(url)),
            "--etcd-endpoint must be URLs, as https://10.0.0.1:2379",
        ),
        (
            options.etcd_prefix.trim_matches('/').is_empty(),
            "--etcd-prefix must not be empty",
        ),
        (
            options.namespace.is_empty(),
            "--namespace must not be empty",
        ),
        (
            !file && !servers && options.kubeconfig.is_none(),
            "--kubeconfig is needed to ask the API server; or name another source: --etcd-servers \
             or --etcd-backup-file",
        ),
    ];
    let made = all.into_iter().filter(|(made, _)| *made);
    made.map(|(_, text)| text.to_owned()).collect()
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://");
    let rest = rest.or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

fn source(options: &Options) -> Result<(Source, String), Failure> {
    if let Some(path) = &options.etcd_backup_file {
        let path = absolute(path)?;
        let words = format!("etcd backup file at {:?}", path.display().to_string());
        return Ok((Source::File(path), words));
    }
    if !options.etcd_servers.is_empty() {
        let words = format!("etcd cluster at {:?}", options.etcd_servers.join(","));
        let source = Source::Etcd {
            endpoints: options.etcd_servers.clone(),
            ca: options.etcd_ca_path.clone(),
            certificate: options.etcd_certificate_path.clone(),
            key: options.etcd_private_key_path.clone(),
        };
        return Ok((source, words));
    }
    let path = options.kubeconfig.clone().unwrap_or_default();
    let words = format!("apiserver at {:?}", path.display().to_string());
    let source = Source::ApiServer {
        kubeconfig: path,
        server: None,
    };
    Ok((source, words))
}

fn encryption(path: &Path) -> Result<Arc<EncryptionConfiguration>, Failure> {
    let told = |cause: String| Failure::Told {
        exit: Exit::No,
        message: format!(
            "cannot use the encryption configuration {}: {cause}",
            path.display()
        ),
        hint: Some(
            "give the file of the API server's --encryption-provider-config, as it was when the \
             Secrets were written"
                .to_owned(),
        ),
    };
    let text = read(path).map_err(|error| told(error.to_string()))?;
    let parsed = EncryptionConfiguration::parse(&text);
    Ok(Arc::new(parsed.map_err(|error| told(error.to_string()))?))
}
