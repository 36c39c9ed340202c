//! Sessions with databases, by their flags.

use std::path::PathBuf;

use meridian_northbound::monitors;
use ovsdb::tls::Verify;
use ovsdb::{Remote, SessionConfig, TlsConfig};
use ovsdb_schemas::northbound;

use super::args::{NorthboundArgs, TlsVerifyArg};
use super::config::Error;

/// What is needed for TLS, whichever the database.
#[derive(Debug)]
pub(super) struct Tls {
    client: Option<(PathBuf, PathBuf)>,
    authority: Option<PathBuf>,
    verify: Verify,
}

impl Tls {
    /// A session with the database at a flag's remotes.
    pub(super) fn session(&self, flag: &'static str, database: &str, remotes: &str) -> Result<SessionConfig, Error> {
        let remotes = Remote::parse_list(remotes).map_err(|error| Error::Remotes { flag, error })?;
        let secure = remotes.iter().find(|remote| matches!(remote, Remote::Ssl(..))).cloned();
        let config = SessionConfig::new(database, remotes);
        let Some(remote) = secure else { return Ok(config) };
        let authority = self.authority.clone().ok_or(Error::NoAuthority { flag, remote })?;
        let mut tls = TlsConfig::new(authority).with_verify(self.verify);
        if let Some((certificate, key)) = &self.client {
            tls = tls.with_client(certificate, key);
        }
        Ok(config.with_tls(tls))
    }
}

/// A session with the Northbound database, without a lock, and what other sessions need for TLS.
pub(super) fn northbound(args: NorthboundArgs) -> Result<(SessionConfig, Tls), Error> {
    let NorthboundArgs {
        northbound,
        tls_private_key,
        tls_certificate,
        tls_ca,
        tls_verify,
    } = args;
    let client = match (tls_private_key, tls_certificate) {
        (Some(key), Some(certificate)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(Error::HalfCertificate),
    };
    let tls = Tls {
        client,
        authority: tls_ca,
        verify: match tls_verify {
            TlsVerifyArg::Chain => Verify::Chain,
            TlsVerifyArg::Hostname => Verify::Hostname,
        },
    };
    let session = tls.session("northbound", northbound::DATABASE, &northbound)?;
    Ok((session.with_monitors(monitors()), tls))
}
