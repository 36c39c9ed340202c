//! Chassis of nodes that are no more, in a real Southbound database.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a failed expectation is a failed test"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Daemon, eventually};
use meridian_model::{Event, Key, Node, Object};
use meridian_northbound::writer::{LockStatus, SourceStatus, Status};
use meridian_northbound::{DeletionBudget, Feed, Input};
use meridian_translator::chassis::{self, Janitor, Settings, Surroundings};
use meridian_translator::metrics::Metrics;
use meridian_translator::problems::{Board, Origin, Problem};
use meridian_translator::source::kubernetes::Health;
use ovsdb::testing::{OvsdbServer, PATIENCE, northbound_schema};
use ovsdb::{LockState, Session, SessionConfig, Subscription, TableMonitor};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

const LOCK: &str = "southbound_test";
const SCHEMA: &str = "/usr/share/ovn/ovn-sb.ovsschema";

/// What a host leaves behind, and where its name is in it.
const TABLES: [(&str, &str); 3] = [
    ("Chassis", "name"),
    ("Chassis_Private", "name"),
    ("Encap", "chassis_name"),
];

fn southbound() -> OvsdbServer {
    OvsdbServer::start(&[Path::new(SCHEMA)])
}

fn transact(server: &OvsdbServer, operations: Vec<Value>) {
    let request: Vec<Value> = std::iter::once(json!("OVN_Southbound")).chain(operations).collect();
    let answer: Value = serde_json::from_str(&server.client("transact", &[&json!(request).to_string()])).unwrap();
    assert!(!answer.to_string().contains("\"error\""), "{answer}");
}

/// What ovn-controller writes when it registers.
fn register(server: &OvsdbServer, number: u8, name: &str, options: &str) {
    transact(
        server,
        vec![
            json!({"op": "insert", "table": "Encap", "uuid-name": "encap",
                   "row": {"type": "geneve", "ip": format!("10.0.0.{number}"), "chassis_name": name}}),
            json!({"op": "insert", "table": "Chassis", "uuid-name": "chassis",
                   "row": {"name": name, "hostname": name, "encaps": ["named-uuid", "encap"],
                           "other_config": ["map", [["ovn-cms-options", options], ["is-interconn", "false"]]]}}),
            json!({"op": "insert", "table": "Chassis_Private",
                   "row": {"name": name, "chassis": ["named-uuid", "chassis"]}}),
        ],
    );
}

/// Another client of the database.
struct Bystander {
    session: Session,
    changes: Subscription,
}

impl Bystander {
    async fn new(server: &OvsdbServer) -> Self {
        let hosts = TABLES.map(|(table, column)| TableMonitor::new(table).columns([column]));
        let config = SessionConfig::new(chassis::DATABASE, vec![server.unix()]).with_monitors(hosts);
        let session = Session::spawn(config);
        session.ready().await.unwrap();
        let changes = session.subscribe();
        Self { session, changes }
    }

    /// Which hosts each of the tables knows.
    fn hosts(&self) -> [Vec<String>; 3] {
        let replica = self.session.replica();
        TABLES.map(|(table, column)| {
            let rows = replica.table(table).unwrap().rows();
            let mut hosts: Vec<_> = rows.map(|row| row.get(column).as_str().unwrap().to_owned()).collect();
            hosts.sort();
            hosts
        })
    }

    /// Waits until all tables know just these hosts.
    async fn until(&mut self, hosts: &[&str]) {
        let follow = async {
            while self.hosts().iter().any(|known| known != hosts) {
                self.changes.changed().await.unwrap();
            }
        };
        let followed = timeout(PATIENCE, follow).await;
        assert!(
            followed.is_ok(),
            "{hosts:?}: not within {PATIENCE:?}: {:?}",
            self.hosts()
        );
    }

    /// Asks for the lock.
    fn lock(server: &OvsdbServer, name: &str) -> Session {
        Session::spawn(SessionConfig::new(chassis::DATABASE, vec![server.unix()]).with_lock(name))
    }
}

fn status(lock: LockStatus) -> Status {
    let synced = SourceStatus {
        name: "nodes",
        synced: true,
        doubt: None,
    };
    Status {
        lock,
        sources: vec![synced],
        ..Status::default()
    }
}

/// A janitor at work, beside a writer that does nothing.
struct Kept {
    feed: Feed,
    status: watch::Sender<Status>,
    board: Board,
    metrics: Arc<Metrics>,
    _tasks: JoinSet<()>,
}

impl Kept {
    async fn new(server: &OvsdbServer, cluster: Option<&str>, nodes: &[&str]) -> Self {
        let session = SessionConfig::new(chassis::DATABASE, vec![server.unix()])
            .with_monitors(chassis::monitors())
            .with_lock(LOCK);
        let mark = meridian_api::chassis::mark(cluster);
        let settings = Settings {
            grace: Duration::from_millis(20),
            ..Settings::new(mark, LOCK.to_owned(), DeletionBudget::default())
        };
        let (writer, mut inputs) = Feed::to_receiver();
        let (feed, overheard, tap) = chassis::tap(writer);
        let (status, status_seen) = watch::channel(status(LockStatus::Waiting));
        let (board, metrics) = (Board::default(), Arc::<Metrics>::default());
        let around = Surroundings {
            nodes: overheard,
            status: status_seen,
            health: Health::default(),
            board: board.clone(),
            metrics: metrics.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(tap.run());
        tasks.spawn(Janitor::new(Session::spawn(session), settings, around).run());
        let events = nodes.iter().map(|name| Event::Apply(Object::Node(Node::test(name))));
        feed.send(Input::Events(events.collect())).await.unwrap();
        inputs.recv().await.unwrap();
        tasks.spawn(async move { while inputs.recv().await.is_some() {} });
        Self {
            feed,
            status,
            board,
            metrics,
            _tasks: tasks,
        }
    }

    fn lead(&self) {
        self.status.send_replace(status(LockStatus::Held));
    }

    async fn lose(&self, node: &str) {
        let event = Event::Delete(Key::Node(node.into()));
        self.feed.send(Input::Event(event)).await.unwrap();
    }

    /// Waits until the janitor's problems are such.
    async fn until(&self, what: &str, wanted: impl Fn(&BTreeSet<Problem>) -> bool) {
        let none = BTreeSet::new();
        let mut found = self.board.subscribe();
        let told = found.wait_for(|found| wanted(found.get(&Origin::Chassis).unwrap_or(&none)));
        let told = timeout(PATIENCE, told).await.is_ok();
        assert!(told, "{what}: not within {PATIENCE:?}: {:?}", self.board.all());
    }

    fn removed(&self) -> bool {
        let text = self
            .metrics
            .scrape(&Status::default(), &self.board, &Health::default())
            .unwrap();
        text.contains("meridian_chassis_removed_total 1\n")
    }
}

#[tokio::test]
async fn the_chassis_of_a_node_that_is_gone_goes_with_all_that_belongs_to_it_and_no_other() {
    let server = southbound();
    register(&server, 1, "a-living", "meridian-node:east");
    register(&server, 2, "b-of-nobody", "enable-chassis-as-gw");
    register(&server, 3, "c-of-another", "meridian-node:west");
    register(&server, 4, "d-without-id", "meridian-node");
    // Judged after the others, so that they have stayed once it is gone.
    register(&server, 5, "z-dead", "enable-chassis-as-gw,meridian-node:east");
    let kept = Kept::new(&server, Some("east"), &["a-living", "z-dead"]).await;
    kept.lead();
    kept.lose("z-dead").await;
    let rest = ["a-living", "b-of-nobody", "c-of-another", "d-without-id"];
    Bystander::new(&server).await.until(&rest).await;
    eventually("counted", || kept.removed()).await;
    assert!(kept.board.is_empty(), "{:?}", kept.board.all());
}

#[tokio::test]
async fn nothing_goes_without_the_lead_and_the_lock() {
    let server = southbound();
    register(&server, 1, "alive", "meridian-node");
    register(&server, 2, "dead", "meridian-node");
    let kept = Kept::new(&server, None, &["alive"]).await;
    let other = Bystander::lock(&server, LOCK);
    let held = |state: &LockState| *state == LockState::Held;
    // A janitor that does not lead leaves the lock to whoever does.
    other.lock_state().wait_for(held).await.unwrap();
    kept.lead();
    let mut bystander = Bystander::new(&server).await;
    bystander.until(&["alive", "dead"]).await;
    other.close().await;
    bystander.until(&["alive"]).await;
}

#[tokio::test]
async fn too_many_at_once_stay_and_are_a_problem() {
    let server = southbound();
    let all = ["n1", "n2", "n3", "n4", "n5"];
    for (number, name) in (1..).zip(all) {
        register(&server, number, name, "meridian-node");
    }
    let kept = Kept::new(&server, None, &all[..1]).await;
    kept.lead();
    kept.until("a problem", |problems| problems.len() == 1).await;
    let (origin, problem) = kept.board.all().remove(0);
    assert_eq!(origin, Origin::Chassis);
    assert!(problem.message.starts_with("4 of 5 chassis have no node"), "{problem}");
    Bystander::new(&server).await.until(&all).await;
}

/// A real ovn-controller, which dies without a word when dropped.
struct Controller(Child);

impl Controller {
    fn start(switch: &OvsdbServer, folder: &Path) -> Self {
        let child = Command::new("ovn-controller")
            .arg(switch.unix().to_string())
            .env("OVN_RUNDIR", folder)
            .env("OVS_RUNDIR", folder)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_machine_that_dies_leaves_nothing_and_one_that_comes_back_is_there_again() {
    let server = southbound();
    transact(&server, vec![json!({"op": "insert", "table": "SB_Global", "row": {}})]);
    let switch = OvsdbServer::start(&[Path::new("/usr/share/openvswitch/vswitch.ovsschema")]);
    let ids = [
        ("system-id", "n1"),
        ("hostname", "n1"),
        ("ovn-remote", &server.unix().to_string()),
        ("ovn-encap-type", "geneve"),
        ("ovn-encap-ip", "127.0.0.1"),
        ("ovn-cms-options", "card:a,meridian-node:east"),
    ];
    let row = json!({"external_ids": ["map", ids]});
    let request = json!(["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": row}]);
    switch.client("transact", &[&request.to_string()]);
    let folder = TempDir::new().unwrap();
    let controller = Controller::start(&switch, folder.path());
    let mut bystander = Bystander::new(&server).await;
    bystander.until(&["n1"]).await;
    drop(controller);

    let kept = Kept::new(&server, Some("east"), &["n0", "n1"]).await;
    kept.lead();
    kept.lose("n1").await;
    bystander.until(&[]).await;

    let _controller = Controller::start(&switch, folder.path());
    kept.until("an ovn-controller without a node is told of", |problems| {
        problems
            .iter()
            .any(|problem| problem.object == "chassis/n1" && problem.message.contains("still runs on host \"n1\""))
    })
    .await;
    let joined = Event::Apply(Object::Node(Node::test("n1")));
    kept.feed.send(Input::Event(joined)).await.unwrap();
    kept.until("no problem", BTreeSet::is_empty).await;
    bystander.until(&["n1"]).await;
}

const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nspec: {podCIDRs: [10.244.7.0/24]}\n";

#[tokio::test]
async fn the_program_holds_a_lock_of_its_own_though_one_server_has_both_databases() {
    let server = OvsdbServer::start(&[&northbound_schema(), Path::new(SCHEMA)]);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("node.yaml"), NODE).unwrap();
    let remote = server.unix().to_string();
    let manifests = folder.path().to_str().unwrap();
    let daemon = Daemon::start(&[
        "--manifests",
        manifests,
        "--northbound",
        &remote,
        "--southbound",
        &remote,
    ]);
    eventually("ready", || daemon.is_ready()).await;
    let mut bystander = None;
    eventually("the lock is held", || {
        let session = bystander.get_or_insert_with(|| Bystander::lock(&server, "southbound_meridian_translator"));
        let state = *session.lock_state().borrow();
        if state == LockState::Held {
            // It came before the janitor, and makes way.
            bystander = None;
        }
        state == LockState::Waiting
    })
    .await;
    assert_eq!(daemon.metric("meridian_chassis_removed_total"), 0);
}

#[tokio::test]
async fn a_southbound_database_that_is_not_there_holds_up_nothing() {
    let server = OvsdbServer::start(&[&northbound_schema()]);
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("node.yaml"), NODE).unwrap();
    let remote = server.unix().to_string();
    let manifests = folder.path().to_str().unwrap();
    let nowhere = ["--southbound", "unix:/nonexistent/ovnsb_db.sock"];
    let daemon = Daemon::start(&[&["--manifests", manifests, "--northbound", &remote], &nowhere[..]].concat());
    eventually("ready", || daemon.is_ready()).await;
    let (_, status) = daemon.get("/status").unwrap();
    assert!(status.contains("\"leader: holding the lock\""), "{status}");
    let (code, _) = daemon.terminate();
    assert_eq!(code, Some(0));
}
