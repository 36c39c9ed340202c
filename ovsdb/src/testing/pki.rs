//! Certificates made by `openssl`, the way `ovs-pki` makes them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::run;

/// The files one end of a TLS connection needs.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The private key.
    pub key: PathBuf,
    /// The certificate.
    pub certificate: PathBuf,
    /// The certificate of the authority to trust.
    pub authority: PathBuf,
}

/// A certificate authority in a folder.
#[derive(Debug, Clone)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes an authority; its files go to the folder, which must exist.
    pub fn new(folder: &Path) -> Self {
        let pki = Self {
            folder: folder.to_owned(),
        };
        let (key, certificate) = (pki.path("ca.key"), pki.path("ca.crt"));
        run(Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "30",
            ])
            .args([
                "-subj",
                "/CN=test authority",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ])
            .arg("-keyout")
            .arg(key)
            .arg("-out")
            .arg(certificate));
        pki
    }

    /// Issues a certificate. `names` are subject alternative names as in `DNS:nb.example`, `IP:127.0.0.1`; certificates
    /// of `ovs-pki` have none that could be verified. Files of the same name are overwritten, as a rotation does.
    pub fn issue(&self, name: &str, names: &[&str]) -> Identity {
        let identity = Identity {
            key: self.path(&format!("{name}.key")),
            certificate: self.path(&format!("{name}.crt")),
            authority: self.path("ca.crt"),
        };
        let names = if names.is_empty() {
            format!("DNS:{name} id:test")
        } else {
            names.join(",")
        };
        let extensions = self.path("extensions");
        fs::write(
            &extensions,
            format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\n"),
        )
        .expect("writable folder");
        let request = self.path("request");
        run(Command::new("openssl")
            .args([
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ])
            .args(["-subj", &format!("/CN={name}")])
            .arg("-keyout")
            .arg(&identity.key)
            .arg("-out")
            .arg(&request));
        run(Command::new("openssl")
            .args(["x509", "-req", "-days", "30", "-set_serial", &serial()])
            .arg("-in")
            .arg(&request)
            .arg("-CA")
            .arg(&identity.authority)
            .arg("-CAkey")
            .arg(self.path("ca.key"))
            .arg("-extfile")
            .arg(&extensions)
            .arg("-out")
            .arg(&identity.certificate));
        identity
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Two certificates of one issuer must differ in their serial number.
fn serial() -> String {
    format!("0x{:x}", uuid::Uuid::new_v4().as_u128() >> 1)
}
