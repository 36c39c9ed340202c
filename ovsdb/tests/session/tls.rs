//! TLS with certificates as `ovs-pki` makes them, and with proper ones.

use ovsdb::{
    Remote, Session, SessionConfig, TlsConfig,
    testing::{Identity, OvsdbServer, Pki, northbound_schema},
    tls::Verify,
};

use crate::support::*;

fn server(identity: Identity) -> OvsdbServer {
    OvsdbServer::builder().schema(northbound_schema()).tls(identity).start()
}

fn secure(server: &OvsdbServer, client: &Identity) -> SessionConfig {
    let tls = TlsConfig::new(&client.authority).with_client(&client.certificate, &client.key);
    config([server.ssl()]).with_tls(tls)
}

fn hostname(mut config: SessionConfig) -> SessionConfig {
    config.tls = config.tls.map(|tls| tls.with_verify(Verify::Hostname));
    config
}

#[tokio::test]
async fn certificates_without_usable_names_are_accepted_by_their_chain() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let server = server(pki.issue("ovnnb", &[]));
    let client = pki.issue("client", &[]);
    let session = connected(secure(&server, &client)).await;
    session.transact(add("a")).await.unwrap();
    assert_eq!(names(&session), set(["a"]));

    let strict = Session::spawn(hostname(secure(&server, &client)));
    disconnected(&mut strict.state(), "not valid for name").await;
}

#[tokio::test]
async fn a_proper_name_is_verified_if_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let server = server(pki.issue("nb", &["IP:127.0.0.1", "DNS:nb.example"]));
    let client = pki.issue("client", &[]);
    connected(hostname(secure(&server, &client))).await;

    let mut by_other_name = hostname(secure(&server, &client));
    let Remote::Ssl(_, port) = server.ssl() else {
        unreachable!()
    };
    by_other_name.remotes = vec![Remote::Ssl("localhost".to_owned(), port)];
    let session = Session::spawn(by_other_name);
    disconnected(&mut session.state(), "TLS handshake failed").await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = server(Pki::new(theirs.path()).issue("ovnnb", &[]));
    let client = Pki::new(ours.path()).issue("client", &[]);
    let session = Session::spawn(secure(&server, &client));
    disconnected(&mut session.state(), "TLS handshake failed").await;
}

#[tokio::test]
async fn rotated_certificates_are_used_for_the_next_connection() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let old = Pki::new(before.path());
    let mut server = server(old.issue("ovnnb", &[]));
    let client = old.issue("client", &[]);
    let session = connected(secure(&server, &client)).await;

    // The whole authority changes: nothing old is good for anything any more.
    server.kill();
    let new = Pki::new(after.path());
    new.issue("ovnnb", &[]);
    new.issue("client", &[]);
    let mut state = session.state();
    for file in ["ca.crt", "ovnnb.crt", "ovnnb.key"] {
        std::fs::copy(after.path().join(file), before.path().join(file)).unwrap();
    }
    server.restart();
    // Now only our own certificate is old, and the server refuses it.
    disconnected(&mut state, "").await;
    for file in ["client.crt", "client.key"] {
        std::fs::copy(after.path().join(file), before.path().join(file)).unwrap();
    }
    epoch(&session, 2).await;
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let pki = Pki::new(folder.path());
    let server = server(pki.issue("ovnnb", &[]));
    let client = pki.issue("client", &[]);

    let plain = Session::spawn(config([server.ssl()]));
    disconnected(&mut plain.state(), "no certificates are configured").await;

    let mut missing = client.clone();
    missing.key = folder.path().join("absent.key");
    let session = Session::spawn(secure(&server, &missing));
    disconnected(&mut session.state(), "absent.key").await;

    let mut empty = client.clone();
    empty.authority = folder.path().join("client.key");
    let session = Session::spawn(secure(&server, &empty));
    disconnected(&mut session.state(), "no certificate in").await;
}
