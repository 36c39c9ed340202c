//! One writer at a time, enforced by the database.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only the tests themselves for tests, not what they call"
)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use meridian_tests::{Central, Manifests, Translator, dump, eventually, node, pod};

const LOCK: &str = "meridian_translator";

fn cluster() -> Manifests {
    Manifests::of([&node("node-1", &["10.244.0.0/24"]), &pod("a", "node-1").build()])
}

fn written(central: &Central, name: &str) {
    eventually("the pod's port is written", || {
        let text = dump(&central.remote());
        let found = text.contains(&format!("Logical_Switch_Port default_{name}\n"));
        if found { Ok(()) } else { Err(text) }
    });
}

fn role(translator: &Translator, expected: &str) -> Result<(), String> {
    let (_, body) = translator.get("/readyz")?;
    if body.starts_with(&format!("ready as {expected}")) {
        Ok(())
    } else {
        Err(body)
    }
}

/// Another client that takes the lock whoever holds it, and keeps it until dropped.
struct Thief(#[expect(dead_code, reason = "the lock lasts as long as the connection")] UnixStream);

impl Thief {
    fn steal(central: &Central) -> Self {
        let remote = central.remote();
        let mut stream = UnixStream::connect(remote.strip_prefix("unix:").unwrap()).unwrap();
        write!(stream, r#"{{"id": 1, "method": "steal", "params": ["{LOCK}"]}}"#).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert!(answer.contains(r#""locked":true"#), "{answer}");
        Self(stream)
    }
}

#[test]
fn when_the_writer_is_killed_the_other_takes_over() {
    let (central, manifests) = (Central::databases(), cluster());
    let mut writer = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let standby = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let before = central.transactions().len();
    role(&writer, "leader").unwrap();
    role(&standby, "standby").unwrap();

    writer.kill();
    manifests.put(&pod("b", "node-1").build());
    written(&central, "b");
    // The new writer adds what is new and touches nothing else.
    assert_eq!(central.transactions().len(), before + 1);
}

#[test]
fn a_writer_that_lost_its_lock_writes_nothing() {
    let (central, manifests) = (Central::databases(), cluster());
    let writer = Translator::start(&central.remote(), manifests.path(), &[]).ready();
    let before = central.transactions().len();

    // While it stalls, somebody else becomes the writer and the cluster changes; when it goes on,
    // both news wait for it in an order that is not ours to choose.
    writer.pause();
    let thief = Thief::steal(&central);
    manifests.put(&pod("b", "node-1").build());
    writer.resume();
    eventually("the writer knows it is none", || role(&writer, "standby"));
    assert_eq!(central.transactions().len(), before);

    drop(thief);
    written(&central, "b");
}
