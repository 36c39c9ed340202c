//! Who a translator says it is, and what becomes of it when that changes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use meridian_translator::source::kubernetes::Patience;
use ovsdb::testing::{OvsdbServer, Pki, northbound_schema};

use crate::common::Daemon;
use crate::followed::Followed;
use crate::setting::own_name;
use crate::support::{Account, ControlPlane, Credentials, Objects, control_plane, eventually, may_mount};

/// Follows with these credentials, and is `user` for the API server.
async fn is_taken_for(plane: &ControlPlane, user: &str, credentials: &Credentials<'_>) {
    let objects = Objects(plane.admin().await);
    let kubeconfig = plane.kubeconfig("credentials", credentials);
    let mut followed = Followed::of(&kubeconfig).await;
    followed.until_equal(&objects).await;
    followed.until_problems(&[]).await;
    assert!(!plane.asked_by(user).is_empty(), "nobody has asked as {user}");
}

#[tokio::test]
async fn a_token_in_the_kubeconfig_is_used() {
    let Some(plane) = control_plane().await else { return };
    let account = Account::reader(&Objects(plane.admin().await), &own_name()).await;
    is_taken_for(&plane, &account.user, &Credentials::Token(&account.token)).await;
}

#[tokio::test]
async fn a_token_in_a_file_of_its_own_is_used() {
    let Some(plane) = control_plane().await else { return };
    let account = Account::reader(&Objects(plane.admin().await), &own_name()).await;
    let file = plane.path("token");
    fs::write(&file, &account.token).unwrap();
    is_taken_for(&plane, &account.user, &Credentials::TokenFile(&file)).await;
}

#[tokio::test]
async fn a_client_certificate_is_used() {
    let Some(plane) = control_plane().await else { return };
    let user = own_name();
    Objects(plane.admin().await).grant_reading(&user).await;
    let identity = plane.pki().issue(&user, &["DNS:translator"]);
    is_taken_for(&plane, &user, &Credentials::Certificate(&identity)).await;
}

#[tokio::test]
async fn a_program_that_the_kubeconfig_names_is_asked_for_a_token() {
    let Some(plane) = control_plane().await else { return };
    let account = Account::reader(&Objects(plane.admin().await), &own_name()).await;
    let credential = serde_json::json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": account.token},
    });
    let program = plane.path("plugin");
    fs::write(&program, format!("#!/bin/sh\nprintf '%s' '{credential}'\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    is_taken_for(&plane, &account.user, &Credentials::Plugin(&program)).await;
}

#[tokio::test]
async fn who_may_not_read_is_told_what_to_grant() {
    let Some(plane) = control_plane().await else { return };
    let account = Account::new(&Objects(plane.admin().await), &own_name()).await;
    let kubeconfig = plane.kubeconfig("forbidden", &Credentials::Token(&account.token));
    let followed = Followed::begin(&kubeconfig, Patience::default()).await;
    let problem = followed.until_problem("watch/pods: ").await;
    assert!(problem.contains(&account.user), "{problem}");
    assert!(problem.contains("grant list and watch of pods"), "{problem}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_told_anything() {
    let Some(plane) = control_plane().await else { return };
    let other = tempfile::tempdir().unwrap();
    Pki::new(other.path());
    let authority = other.path().join("ca.crt");
    let kubeconfig = plane.kubeconfig_for("other", &plane.url(), &authority, &Credentials::Token("secret"));
    let followed = Followed::begin(&kubeconfig, Patience::default()).await;
    let problem = followed.until_problem("watch/pods: ").await;
    assert!(
        problem.contains("is not signed by the authority we were told to trust"),
        "{problem}"
    );
}

/// What the kubelet puts into a pod.
fn write_account(folder: &Path, plane: &ControlPlane, token: &str) {
    fs::copy(plane.authority(), folder.join("ca.crt")).unwrap();
    fs::write(folder.join("namespace"), "meridian-system").unwrap();
    fs::write(folder.join("token.new"), token).unwrap();
    fs::rename(folder.join("token.new"), folder.join("token")).unwrap();
}

/// A translator for which a folder is at the place where pods have their ServiceAccount.
fn in_a_pod(folder: &Path, (host, port): (String, &str), northbound: &str) -> Daemon {
    const SCRIPT: &str = "
        set -e
        mount -t tmpfs none /run
        mkdir -p /run/secrets/kubernetes.io/serviceaccount
        mount --bind \"$0\" /run/secrets/kubernetes.io/serviceaccount
        exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", SCRIPT])
        .arg(folder)
        .args([
            env!("CARGO_BIN_EXE_meridian-translator"),
            "run",
            "--northbound",
            northbound,
        ])
        .env_remove("KUBECONFIG")
        .env("KUBERNETES_SERVICE_HOST", host)
        .env("KUBERNETES_SERVICE_PORT", port);
    Daemon::spawn(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_pod_the_service_account_is_used_and_its_token_read_again_when_it_is_replaced() {
    if !may_mount() {
        return;
    }
    let Some(mut plane) = control_plane().await else { return };
    let objects = Objects(plane.admin().await);
    let first = Account::translator(&objects, &own_name()).await;
    let second = Account::translator(&objects, &own_name()).await;
    let folder = tempfile::tempdir().unwrap();
    write_account(folder.path(), &plane, &first.token);
    let database = OvsdbServer::start(&[&northbound_schema()]);
    let daemon = in_a_pod(folder.path(), plane.service(), &database.unix().to_string());
    let ready = || async {
        daemon
            .is_ready()
            .then_some(())
            .ok_or(format!("{:?}", daemon.get("/readyz")))
    };
    eventually("ready", ready).await;
    assert!(!plane.asked_by(&first.user).is_empty());

    first.delete(&objects).await;
    write_account(folder.path(), &plane, &second.token);
    // An API server believes a token for ten seconds before it looks again, and one that runs never asks an open watch.
    plane.restart_api(&[]).await;
    eventually("the other token", || async {
        let asked = plane.asked_by(&second.user).len();
        (asked > 0).then_some(()).ok_or(format!("{:?}", daemon.get("/readyz")))
    })
    .await;
    eventually("ready again, and all watches with it", || async {
        let answer = daemon.get("/readyz");
        let fine = answer
            .as_ref()
            .is_some_and(|(code, text)| *code == 200 && !text.contains("fails"));
        fine.then_some(()).ok_or(format!("{answer:?}"))
    })
    .await;
}
