//! The node agent: one chassis, its management ports, its host's routes, its part in services, and the facts the plugin
//! asks for.
//!
//! Must not write to the Southbound database, or enter a pod's network namespace. Kubernetes is known to one file,
//! `kubernetes`, on which nothing depends.

pub mod announce;
mod args;
mod condition;
mod config;
mod configuration;
mod controller;
mod denied;
mod host;
mod install;
mod kernel;
mod kubernetes;
mod nftables;
mod off_link;
mod openflow;
mod ovs;
mod reconcile;
mod remains;
mod server;
mod services;
mod serving;
mod shields;
mod southbound;
mod status;

pub use args::Cli;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::protocol::{Empty, NodeStatus, PortRequest, Request, Response};
use announce::Announcer;
use args::{Command, Explain, Explained, LogFormat, Run};
use config::Config;
use controller::Controller;
use reconcile::{Outputs, Reconciler};
use server::{Server, Sources};
use southbound::Southbound;

/// All that is known of the node before the first look at it.
const STARTING: &str = "the agent is starting";

/// Does what the command line says.
pub fn main(cli: Cli) -> anyhow::Result<ExitCode> {
    // One thread: everything here waits, and what computes takes microseconds.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match cli.command {
        Command::Run(arguments) => {
            log(&arguments)?;
            let config = Config::new(*arguments)?;
            runtime.block_on(run(config))?;
        }
        Command::Status(socket) => {
            let request = Request::Status { status: Empty {} };
            let Response::Status(status) = runtime.block_on(ask(&socket.socket, &request))? else {
                bail!("the agent answers another question");
            };
            print(&serde_json::to_string_pretty(&status)?)?;
            if !status.ready {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Explain(Explain { what, pod, socket }) => {
            let (request, socket) = match what {
                Some(Explained::Service { service, socket }) => {
                    let request = Request::ExplainService {
                        explain_service: service,
                    };
                    (request, socket)
                }
                None => {
                    let explain = PortRequest {
                        port: pod.unwrap_or_default(),
                        uid: None,
                        sandbox: None,
                    };
                    (Request::Explain { explain }, socket)
                }
            };
            let Response::Explained { reason } = runtime.block_on(ask(&socket.socket, &request))? else {
                bail!("the agent answers another question");
            };
            print(&reason)?;
        }
        Command::Denied(denied) => runtime.block_on(denied::tell(denied))?,
        Command::Uninstall(folders) => install::uninstall(&folders.cni_bin_dir, &folders.cni_conf_dir)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the agent until it is told to end.
///
/// At the end everything stays: management ports, routes and masquerade, because running pods need them; and the
/// network configuration, because without it the kubelet would report the node as not ready for the seconds that an
/// upgrade of the agent takes. Pods that start meanwhile wait in ADD for the next agent, and are told so. Runtimes that
/// know CNI 1.1 ask STATUS, which says that there is no agent. `uninstall` is for leaving.
async fn run(config: Config) -> anyhow::Result<()> {
    if let Some(install) = &config.install {
        install::plugin(install)?;
    }
    let ovs = ovs::connect(&config);
    let southbound = Arc::new(Southbound::connect(&config));
    let server = Server::bind(&config.socket)?;
    tracing::info!(node = config.node, socket = %config.socket.display(), datapath = config.datapath.as_str(), "running");

    let announcer = Arc::new(Announcer::spawn().context("start announcing addresses")?);
    let (changes, changes_seen) = watch::channel(0);
    let changes = Arc::new(changes);
    let (mtu, mtu_seen) = watch::channel(None);
    let (vpcs, vpcs_seen) = watch::channel(services::Vpcs::new());
    let starting = NodeStatus {
        node: config.node.clone(),
        problems: vec![STARTING.to_owned()],
        unavailable: Some(STARTING.to_owned()),
        ..NodeStatus::default()
    };
    let (status, status_seen) = watch::channel(starting);
    let sources = Arc::new(Sources {
        southbound: Arc::clone(&southbound),
        changes: changes_seen,
        mtu: mtu_seen,
        encap_ip: config.encap_ip,
        node: config.node.clone(),
        port_prefix: config.port_prefix.clone(),
        status: status_seen,
        vpcs: vpcs_seen,
        announcer: Arc::clone(&announcer),
    });
    let outputs = Outputs {
        changes: Arc::clone(&changes),
        mtu,
        status,
        vpcs,
        announcer,
    };
    report_condition(&config, sources.status.clone());
    if let Some(address) = config.proxy_health {
        tokio::spawn(services::serve_proxy_health(address, sources.status.clone()));
    }
    if let Some(switch) = config.switch() {
        tokio::spawn(services::forget(Arc::clone(&southbound), switch));
    }
    let (controller, controller_seen) = watch::channel(Controller::Unknown);
    tokio::spawn(controller::follow(config.ovn_rundir.clone(), controller));
    let reconciler = Reconciler::new(config, ovs, Arc::clone(&southbound), controller_seen, outputs);
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        () = server.serve(sources) => {}
        () = reconciler.run() => {}
        () = follow(&southbound, &changes) => {}
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("ending; pods' connectivity and the network configuration stay");
    Ok(())
}

/// Keeps the node's condition as the status has it, beside everything else and as far as Kubernetes can be reached.
fn report_condition(config: &Config, status: watch::Receiver<NodeStatus>) {
    let Some(access) = config.kubernetes.clone() else {
        tracing::info!("neither in a pod nor with --kubeconfig: the node's condition is not written");
        return;
    };
    let (verdict, verdicts) = watch::channel(None);
    tokio::spawn(condition::judge(status, condition::GRACE, verdict));
    tokio::spawn(kubernetes::report(access, config.node.clone(), verdicts));
}

/// Wakes waiting plugins when the Southbound database changes, whatever the reconciler is busy with.
async fn follow(southbound: &Southbound, changes: &watch::Sender<u64>) {
    let mut rows = southbound.subscribe();
    let mut state = southbound.state();
    loop {
        southbound.note_state();
        changes.send_modify(|count| *count += 1);
        let open = tokio::select! {
            update = rows.changed() => update.is_some(),
            update = state.changed() => update.is_ok(),
        };
        if !open {
            return;
        }
    }
}

async fn ask(socket: &Path, request: &Request) -> anyhow::Result<Response> {
    let exchange = async {
        let stream = UnixStream::connect(socket).await?;
        let (reader, mut writer) = stream.into_split();
        writer.write_all(&serde_json::to_vec(request)?).await?;
        writer.write_all(b"\n").await?;
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).await?;
        anyhow::Ok(serde_json::from_str(&line)?)
    };
    exchange.await.with_context(|| {
        format!(
            "no agent answers at {} (does meridian-node run here? --socket names another)",
            socket.display()
        )
    })
}

fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

fn log(arguments: &Run) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&arguments.log).with_context(|| format!("--log {:?}", arguments.log))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
