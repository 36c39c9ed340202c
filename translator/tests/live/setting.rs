//! [`Setting`]: a cluster that is followed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use meridian_translator::source::kubernetes::{self, Patience};
use tokio::sync::MappedMutexGuard;

use crate::followed::Followed;
use crate::support::{Account, ControlPlane, Credentials, Objects, Proxy, control_plane};

/// A cluster with a node and two pods, followed through a proxy by a ServiceAccount of its own.
pub struct Setting {
    // Dropped before what it follows.
    pub followed: Followed,
    pub proxy: Proxy,
    pub objects: Objects,
    pub plane: MappedMutexGuard<'static, ControlPlane>,
    pub user: String,
}

impl Setting {
    pub async fn new() -> Option<Self> {
        Self::with(Patience::default()).await
    }

    pub async fn with(patience: Patience) -> Option<Self> {
        let plane = control_plane().await?;
        let objects = Objects(plane.admin().await);
        objects.namespace("shop").await;
        objects.node("a", &["10.244.0.0/24", "fd00:10:244::/64"]).await;
        objects.pod("shop", "old", "a").await;
        objects.pod("shop", "kept", "a").await;
        let proxy = Proxy::before(&plane.url()).await;
        let account = Account::reader(&objects, &own_name()).await;
        let kubeconfig = kubeconfig(&plane, &proxy, &account);
        let mut followed = Followed::begin(&kubeconfig, patience).await;
        followed.told.until_synced(kubernetes::NAMES.len()).await;
        Some(Self {
            followed,
            proxy,
            objects,
            plane,
            user: account.user,
        })
    }

    /// Makes the account again, in a cluster that has forgotten it.
    pub async fn renew_account(&self) {
        let name = self.user.rsplit(':').next().unwrap();
        let account = Account::reader(&self.objects, name).await;
        kubeconfig(&self.plane, &self.proxy, &account);
    }

    pub async fn until_equal(&mut self) {
        self.followed.until_equal(&self.objects).await;
    }

    /// What the translator asked about pods, oldest first: query strings.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.plane.asked_by(&self.user);
        let uris = asked.iter().map(|entry| entry["requestURI"].as_str().unwrap());
        uris.filter_map(|uri| uri.strip_prefix("/api/v1/pods?"))
            .map(str::to_owned)
            .collect()
    }

    pub fn pods(&self) -> Vec<String> {
        self.followed.told.pods()
    }
}

fn kubeconfig(plane: &ControlPlane, proxy: &Proxy, account: &Account) -> PathBuf {
    let credentials = Credentials::Token(&account.token);
    plane.kubeconfig_for("followed", &proxy.url(), &plane.authority(), &credentials)
}

/// A name for an account, so that what it asked is told from what others asked.
pub fn own_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("translator-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
