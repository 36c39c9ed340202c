//! How long a session takes: the first synchronisation of many rows, transactions, and a change of leader.
//!
//! `cargo run --release -p ovsdb --example session_speed --features testing [rows]`
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    error::Error,
    fs,
    time::{Duration, Instant},
};

use ovsdb::{
    Datum, Remote, Session, SessionConfig, State, TableMonitor, Transaction, Where,
    testing::{Cluster, OvsdbServer, northbound_schema},
};

const DATABASE: &str = "OVN_Northbound";
const SWITCH: &str = "Logical_Switch";
const PORT: &str = "Logical_Switch_Port";
/// Ports per transaction; the servers are fastest with a few hundred.
const BATCH: usize = 200;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args().nth(1).map_or(Ok(50_000), |rows| rows.parse())?;
    let server = OvsdbServer::start(&[&northbound_schema()]);

    let writer = connect(vec![server.unix()], false).await?;
    let begin = Instant::now();
    fill(&writer, rows).await?;
    report(
        &format!("insert {rows} ports, {BATCH} per transaction, one at a time"),
        begin.elapsed(),
    );

    for remote in [server.unix(), server.tcp()] {
        let before = resident();
        let begin = Instant::now();
        let reader = connect(vec![remote.clone()], false).await?;
        report(&format!("synchronise {rows} ports over {remote}"), begin.elapsed());
        println!("{:>12} KiB more resident", resident().saturating_sub(before));
        assert_eq!(reader.replica().table(PORT).map_or(0, ovsdb::TableReplica::len), rows);
        reader.close().await;
    }

    let begin = Instant::now();
    for n in 0..1000 {
        writer.transact(switch(&format!("serial-{n}"))).await?;
    }
    report("1000 transactions, one after the other", begin.elapsed());

    let begin = Instant::now();
    let tasks: Vec<_> = (0..1000)
        .map(|n| {
            let writer = writer.clone();
            tokio::spawn(async move { writer.transact(switch(&format!("parallel-{n}"))).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    report("1000 transactions at once", begin.elapsed());

    failover().await
}

/// From the event until a transaction is confirmed by the next leader.
async fn failover() -> Result<(), Box<dyn Error>> {
    let mut cluster = Cluster::raft(3, &northbound_schema());
    let session = connect(cluster.remotes(), true).await?;
    fill(&session, 5_000).await?;
    for round in 0..3 {
        let begin = Instant::now();
        let old = epoch(&session);
        cluster.transfer_leadership();
        session
            .state()
            .wait_for(|state| matches!(state, State::Ready { epoch, .. } if *epoch > old))
            .await?;
        report("change of leader, until ready", begin.elapsed());
        session.transact(switch(&format!("transfer-{round}"))).await?;
        report("change of leader, until a write is confirmed", begin.elapsed());
    }
    let leader = cluster.leader();
    let begin = Instant::now();
    let old = epoch(&session);
    cluster.member_mut(leader).kill();
    session
        .state()
        .wait_for(|state| matches!(state, State::Ready { epoch, .. } if *epoch > old))
        .await?;
    report("kill -9 of the leader, until ready", begin.elapsed());
    Ok(())
}

async fn connect(remotes: Vec<Remote>, leader_only: bool) -> Result<Session, Box<dyn Error>> {
    let config = SessionConfig::new(DATABASE, remotes)
        .with_leader_only(leader_only)
        .with_monitors([TableMonitor::new(SWITCH), TableMonitor::new(PORT)]);
    let session = Session::spawn(config);
    session.ready().await?;
    Ok(session)
}

fn epoch(session: &Session) -> u64 {
    match &*session.state().borrow() {
        State::Ready { epoch, .. } => *epoch,
        _ => 0,
    }
}

fn switch(name: &str) -> Transaction {
    let mut transaction = Transaction::new(DATABASE);
    transaction.insert(SWITCH, None, [("name", Datum::scalar(name))]);
    transaction
}

/// Ports as a pod has them.
async fn fill(session: &Session, rows: usize) -> Result<(), Box<dyn Error>> {
    let outcome = session.transact(switch("node")).await?;
    let switch = outcome.results[0].uuid.ok_or("no switch")?;
    let numbers: Vec<_> = (0..rows).collect();
    for batch in numbers.chunks(BATCH) {
        let mut transaction = Transaction::new(DATABASE);
        let mut ports = Vec::new();
        for n in batch {
            let (high, low) = (n / 256 % 256, n % 256);
            let port = ovsdb::Uuid::new_v4();
            ports.push(port);
            let columns = [
                ("name", Datum::scalar(format!("namespace-{}_pod-{n}", n % 100))),
                (
                    "addresses",
                    Datum::scalar(format!("0a:58:0a:80:{high:02x}:{low:02x} 10.128.{high}.{low}")),
                ),
                (
                    "port_security",
                    Datum::scalar(format!("0a:58:0a:80:{high:02x}:{low:02x} 10.128.{high}.{low}")),
                ),
                (
                    "options",
                    Datum::map([
                        ("requested-chassis", format!("node-{}", n / 256)),
                        ("iface-id-ver", port.to_string()),
                    ]),
                ),
                (
                    "external_ids",
                    Datum::map([("meridian/owner", format!("pod/namespace-{}/pod-{n}", n % 100))]),
                ),
            ];
            transaction.insert(PORT, Some(port), columns);
        }
        let insert = ovsdb::Mutation::insert("ports", Datum::set(ports));
        transaction.mutate(SWITCH, Where::Uuid(switch), [insert]);
        session.transact(transaction).await?;
    }
    Ok(())
}

fn report(what: &str, time: Duration) {
    println!("{:>12.1} ms  {what}", time.as_secs_f64() * 1e3);
}

/// Of this process, in KiB.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
