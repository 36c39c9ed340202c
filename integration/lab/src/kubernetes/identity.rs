//! Who Meridian's programs are to the API: their ServiceAccounts, with tokens the API signed, in
//! the files where a pod would find them.

use std::fs;
use std::path::Path;

use super::{control_plane, pki};
use crate::error::{Error, Result};
use crate::host;
use crate::lab::Lab;
use crate::process::Identity;

/// The namespace Meridian is installed in.
pub(crate) const NAMESPACE: &str = "meridian-system";
/// Where clients in a cluster look for who they are.
const FILES: &str = "/run/secrets/kubernetes.io/serviceaccount";
/// kubelet would renew it in time; the lab takes one that lasts.
const LIFETIME: &str = "8760h";

/// Puts a ServiceAccount's files onto a host, unless they are there.
pub(crate) fn install(lab: &Lab, init: Identity, account: &str) -> Result<()> {
    let dir = host::outside(init, FILES);
    let token = dir.join("token");
    if token.exists() {
        return Ok(());
    }
    let args = [
        "create",
        "token",
        account,
        "--namespace",
        NAMESPACE,
        "--duration",
        LIFETIME,
    ];
    let text = lab.kubectl(args)?;
    fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))
    };
    write("namespace", NAMESPACE)?;
    let authority = control_plane::ca_file(lab.plan());
    let authority = fs::read_to_string(&authority).map_err(Error::file("read", Path::new(&authority)))?;
    write("ca.crt", &authority)?;
    pki::write_secret(&token, text.trim())
}
