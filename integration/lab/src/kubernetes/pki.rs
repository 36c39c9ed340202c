//! Keys and certificates of a cluster: one authority for the API and its clients, one for the
//! front proxy, and the key pair that signs the tokens of ServiceAccounts.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::error::{Error, Result};

/// Whom a certificate names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject<'a> {
    /// The user, to Kubernetes.
    pub(crate) name: &'a str,
    /// Its group.
    pub(crate) group: Option<&'a str>,
    /// Host names and addresses, for servers.
    pub(crate) hosts: Vec<String>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority whose key lies in a folder.
#[derive(Debug)]
pub(crate) struct Authority {
    name: String,
    certificate: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes one: `dir/NAME.crt` and `dir/NAME.key`.
    pub(crate) fn create(dir: &Path, name: &str) -> Result<Self> {
        let key = KeyPair::generate().map_err(Error::certificate(name))?;
        let params = authority(name);
        let certificate = params.self_signed(&key).map_err(Error::certificate(name))?;
        write_public(&dir.join(format!("{name}.crt")), &certificate.pem())?;
        write_secret(&dir.join(format!("{name}.key")), &key.serialize_pem())?;
        Ok(Self::assemble(dir, name, key))
    }

    /// Opens one that was made.
    pub(crate) fn open(dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(format!("{name}.key"));
        let pem = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let key = KeyPair::from_pem(&pem).map_err(Error::certificate(name))?;
        Ok(Self::assemble(dir, name, key))
    }

    fn assemble(dir: &Path, name: &str, key: KeyPair) -> Self {
        Self {
            name: name.to_owned(),
            certificate: dir.join(format!("{name}.crt")),
            issuer: Issuer::new(authority(name), key),
        }
    }

    /// Its certificate, PEM.
    pub(crate) fn pem(&self) -> Result<String> {
        fs::read_to_string(&self.certificate).map_err(Error::file("read", &self.certificate))
    }

    /// Signs a certificate for servers and clients.
    pub(crate) fn issue(&self, subject: &Subject<'_>) -> Result<Pair> {
        let name = format!("{} by {}", subject.name, self.name);
        let failed = || Error::certificate(&name);
        let key = KeyPair::generate().map_err(failed())?;
        let mut params = CertificateParams::new(subject.hosts.clone()).map_err(failed())?;
        params.distinguished_name = distinguished(subject.name, subject.group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        within_lifetime(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed())?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl Pair {
    /// Writes `dir/NAME.crt` and `dir/NAME.key`.
    pub(crate) fn write(&self, dir: &Path, name: &str) -> Result<()> {
        write_public(&dir.join(format!("{name}.crt")), &self.certificate)?;
        write_secret(&dir.join(format!("{name}.key")), &self.key)
    }
}

/// Makes the key that signs tokens, `dir/NAME.key`, and the one that checks them, `dir/NAME.pub`.
pub(crate) fn write_signing_keys(dir: &Path, name: &str) -> Result<()> {
    let key = KeyPair::generate().map_err(Error::certificate(name))?;
    write_secret(&dir.join(format!("{name}.key")), &key.serialize_pem())?;
    write_public(&dir.join(format!("{name}.pub")), &key.public_key_pem())
}

/// Writes a file only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut file = fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::file("create", path))?;
    file.write_all(text.as_bytes()).map_err(Error::file("write", path))
}

fn write_public(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::file("write", path))
}

/// The same for the certificate and for later signatures.
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished(name, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    within_lifetime(&mut params);
    params
}

fn distinguished(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut dn = DistinguishedName::new();
    if let Some(group) = group {
        dn.push(DnType::OrganizationName, group);
    }
    dn.push(DnType::CommonName, name);
    dn
}

/// Longer than any lab, whatever its machine's clock says.
fn within_lifetime(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Cmd;

    #[test]
    fn a_reopened_authority_signs_what_its_certificate_verifies() {
        let dir = tempfile::tempdir().unwrap();
        Authority::create(dir.path(), "ca").unwrap();
        let pair = Authority::open(dir.path(), "ca")
            .unwrap()
            .issue(&Subject {
                name: "system:node:node-1",
                group: Some("system:nodes"),
                hosts: vec!["node-1".into(), "172.30.0.11".into()],
            })
            .unwrap();
        pair.write(dir.path(), "node").unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        Cmd::new("openssl")
            .args([
                "verify",
                "-verify_ip",
                "172.30.0.11",
                "-CAfile",
                &path("ca.crt"),
                &path("node.crt"),
            ])
            .run()
            .unwrap();
        let subject = Cmd::new("openssl")
            .args(["x509", "-noout", "-subject", "-in", &path("node.crt")])
            .run()
            .unwrap();
        assert_eq!(subject.trim(), "subject=O = system:nodes, CN = system:node:node-1");
    }

    #[test]
    fn keys_are_their_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        write_signing_keys(dir.path(), "sa").unwrap();
        let mode = fs::metadata(dir.path().join("sa.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let public = fs::read_to_string(dir.path().join("sa.pub")).unwrap();
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----"), "{public}");
    }
}
