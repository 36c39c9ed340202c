//! Kubeconfig files: how a client finds the API and who it is. Everything is in the one file, so
//! that it can be copied.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pki::{self, Pair};
use crate::error::Result;

/// A client of the API.
#[derive(Debug)]
pub(crate) struct Kubeconfig<'a> {
    /// `https://HOST:PORT`
    pub(crate) server: &'a str,
    /// The authority that signed the server's certificate, PEM.
    pub(crate) authority: &'a str,
    /// What the context is called, for people.
    pub(crate) context: &'a str,
    /// Who the client is.
    pub(crate) client: &'a Pair,
}

impl Kubeconfig<'_> {
    /// Writes it, readable for its owner only.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.content()).expect("plain data");
        pki::write_secret(path, &format!("{text}\n"))
    }

    // JSON is YAML.
    fn content(&self) -> Value {
        let data = |pem: &str| STANDARD.encode(pem);
        let name = self.context;
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": name, "cluster": {
                "server": self.server,
                "certificate-authority-data": data(self.authority),
            }}],
            "users": [{ "name": name, "user": {
                "client-certificate-data": data(&self.client.certificate),
                "client-key-data": data(&self.client.key),
            }}],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
            "current-context": name,
        })
    }
}
