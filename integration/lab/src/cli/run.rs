//! One function per command.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context as _, bail};
use meridian_lab::cluster::object::{Key, Object};
use meridian_lab::cluster::sandbox::Sandbox;
use meridian_lab::cluster::store::Store;
use meridian_lab::cluster::{self, kubelet};
use meridian_lab::component::{Component, Role};
use meridian_lab::kubernetes::{Distribution, chart};
use meridian_lab::lab::{self, Lab, Upped};
use meridian_lab::machine;
use meridian_lab::netns;
use meridian_lab::plan::{Families, Options};
use meridian_lab::probe::{matrix, table};
use serde_json::json;

use super::args::{self, Command, Datapath, Up};
use super::{Context, resource, show};

pub(crate) fn run(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up(context, &args),
        Command::Down { keep_logs } => down(context, keep_logs),
        Command::Status => status(context),
        Command::Apply { filename } => apply(context, &filename),
        Command::Delete {
            filename,
            resource,
            namespace,
        } => delete(context, &filename, &resource, &namespace),
        Command::Scale {
            resource,
            replicas,
            namespace,
        } => {
            let keys = resource::keys(&[resource], &namespace)?;
            cluster::scale(&with_manifests(context)?, &keys[0], replicas)?;
            show::line(&format!("{} has {replicas} pods", keys[0]))
        }
        Command::Get { resource, namespace } => get(context, &resource, namespace.as_deref()),
        Command::Ping => ping(context),
        Command::Exec { target, command } => exec(context, &target, &command),
        Command::Logs {
            component,
            lines,
            follow,
        } => logs(context, &component, lines, follow),
        Command::Restart { component, crash } => restart(context, &component, crash),
        Command::Kill { component } => {
            let lab = open(context)?;
            for component in Component::select(lab.plan(), &component)? {
                lab.processes().crash(&component.pid_name())?;
                show::line(&format!("{component} killed"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Kubectl { args } => super::cluster::kubectl(context, &args),
        Command::Node { action } => super::cluster::node(context, &action),
        Command::Serve(_) | Command::Init { .. } | Command::Forward(_) | Command::Supervise(_) => {
            bail!("this needs no lab")
        }
    }
}

pub(super) fn open(context: &Context) -> anyhow::Result<Lab> {
    Ok(Lab::open(&context.dir, context.binaries.clone(), context.ui)?)
}

/// A lab whose cluster is a folder of manifests.
fn with_manifests(context: &Context) -> anyhow::Result<Lab> {
    let lab = open(context)?;
    if lab.plan().options.kubernetes.is_some() {
        bail!("this lab has a real Kubernetes\n  next: meridian-lab kubectl -- ...");
    }
    Ok(lab)
}

/// Also a lab that never came up: to find out why.
pub(super) fn inspect(context: &Context) -> anyhow::Result<Lab> {
    Ok(Lab::inspect(&context.dir, context.binaries.clone(), context.ui)?)
}

fn up(context: &Context, args: &Up) -> anyhow::Result<ExitCode> {
    let Up {
        hosts,
        families,
        bare,
        kubernetes,
        datapath,
    } = *args;
    let options = Options {
        name: context.name.clone(),
        hosts,
        families: match families {
            args::Families { ipv6: true, .. } => Families::V6,
            args::Families { dual_stack: true, .. } => Families::Dual,
            args::Families { ipv4: false, .. } if kubernetes => Families::Dual,
            _ => Families::V4,
        },
        bare,
        kubernetes: kubernetes.then(Distribution::find).transpose()?,
    };
    let datapath = datapath.map(|datapath| match datapath {
        Datapath::System => machine::Datapath::System,
        Datapath::Netdev => machine::Datapath::Netdev,
    });
    let start = std::time::Instant::now();
    let (lab, how) = Lab::up(&context.dir, options, datapath, context.binaries.clone(), context.ui)
        .with_context(|| format!("lab {:?} did not come up", context.name))?;
    if kubernetes {
        super::cluster::up(context, &lab)?;
    } else if matches!(how, Upped::Reused(_)) && !bare {
        kubelet::sync(&lab)?;
        kubelet::collect_garbage(&lab)?;
    }
    let seconds = start.elapsed().as_secs_f64();
    if context.json {
        return show::json(&json!({
            "name": context.name, "dir": context.dir, "seconds": seconds,
            "built": how == Upped::Built,
            "restarted": if let Upped::Reused(n) = how { n } else { 0 },
        }));
    }
    show::line(&match how {
        Upped::Built => format!(
            "lab {:?} is up in {seconds:.1}s; its folder is {}",
            context.name,
            context.dir.display()
        ),
        Upped::Reused(0) => format!("lab {:?} is up already", context.name),
        Upped::Reused(n) => format!("lab {:?} was up; {n} daemons started again", context.name),
    })
}

fn down(context: &Context, keep_logs: bool) -> anyhow::Result<ExitCode> {
    let found = lab::down(&context.dir, keep_logs)?;
    if context.json {
        return show::json(&json!({ "name": context.name, "found": found }));
    }
    show::line(&if found {
        format!("lab {:?} is down", context.name)
    } else {
        format!("there was no lab {:?}", context.name)
    })
}

fn status(context: &Context) -> anyhow::Result<ExitCode> {
    let lab = inspect(context)?;
    let status = show::Status::of(&lab)?;
    let good = status.good();
    if context.json {
        show::json(&status)?;
    } else {
        show::text(&status.render(context.ui))?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn apply(context: &Context, files: &[PathBuf]) -> anyhow::Result<ExitCode> {
    let lab = with_manifests(context)?;
    let mut objects = Vec::new();
    for file in files {
        objects.extend(cluster::read_manifests(file)?);
    }
    let applied = cluster::apply(&lab, objects)?;
    let words: Vec<_> = applied
        .iter()
        .map(|(key, how)| (key, format!("{how:?}").to_lowercase()))
        .collect();
    if context.json {
        let list: Vec<_> = words
            .iter()
            .map(|(key, how)| json!({ "object": key.to_string(), "result": how }))
            .collect();
        return show::json(&list);
    }
    for (key, how) in words {
        show::line(&format!("{key} {how}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn delete(context: &Context, files: &[PathBuf], words: &[String], namespace: &str) -> anyhow::Result<ExitCode> {
    let lab = with_manifests(context)?;
    let mut keys = Vec::new();
    for file in files {
        keys.extend(cluster::read_manifests(file)?.iter().map(Object::key));
    }
    if files.is_empty() {
        keys = resource::keys(words, namespace)?;
    }
    let deleted = cluster::delete(&lab, &keys)?;
    let missing: Vec<&Key> = keys.iter().filter(|k| !deleted.contains(k)).collect();
    for key in &deleted {
        show::line(&format!("{key} deleted"))?;
    }
    for key in &missing {
        show::line(&format!("{key} not found"))?;
    }
    // By manifest, what is gone already is as it should be.
    let good = missing.is_empty() || !files.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn get(context: &Context, words: &[String], namespace: Option<&str>) -> anyhow::Result<ExitCode> {
    let lab = with_manifests(context)?;
    let (kind, _) = resource::kind(words[0].split('/').next().unwrap_or_default())?;
    let mut objects = Store::of(&lab.plan().dir).list(kind)?;
    if let Some(namespace) = namespace {
        objects.retain(|o| o.namespace() == namespace);
    }
    let names: Vec<_> = match words[0].split_once('/') {
        Some((_, name)) => vec![name],
        None => words[1..].iter().map(String::as_str).collect(),
    };
    if !names.is_empty() {
        objects.retain(|o| names.contains(&o.name()));
        if objects.is_empty() {
            bail!("{} {} not found", kind.to_lowercase(), names.join(", "));
        }
    }
    if context.json {
        let items: Vec<_> = objects.into_iter().map(|o| o.0).collect();
        return show::json(&json!({ "apiVersion": "v1", "kind": "List", "items": items }));
    }
    show::text(&show::objects(kind, &objects))
}

fn ping(context: &Context) -> anyhow::Result<ExitCode> {
    let lab = with_manifests(context)?;
    let matrix = matrix::run(cluster::endpoints(&lab)?);
    if matrix.probes.is_empty() {
        bail!("there are no pods to ping; next: meridian-lab apply -f FILE");
    }
    if context.json {
        show::json(&matrix)?;
    } else {
        show::text(&table::render(&matrix, context.ui))?;
    }
    Ok(match matrix.failures().next() {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// Becomes the command: the lab's lock is not held by it.
fn exec(context: &Context, target: &str, command: &[String]) -> anyhow::Result<ExitCode> {
    let lab = inspect(context)?;
    let mut process = Process::new(&command[0]);
    process.args(&command[1..]);
    let central = Component::central(Role::Nb);
    let netns = if target == "central" || target == "fabric" {
        process.envs(central.env(lab.plan()));
        lab.plan().netns(target)
    } else if let Some(host) = lab.plan().host(target) {
        let switch = Component::on(&host, Role::Vswitchd);
        process
            .envs(switch.env(lab.plan()))
            .env("MERIDIAN_SOCKET", switch.agent_socket(lab.plan()));
        lab.plan().netns(target)
    } else {
        let sandbox = sandbox(&lab, target)?;
        process
            .env("POD_NAME", &sandbox.name)
            .env("POD_NAMESPACE", &sandbox.namespace);
        sandbox.netns
    };
    // Meridian's own programs by name, as if they were installed; and Kubernetes', with the rights of its administrator.
    let mut path = context.binaries.dir().as_os_str().to_owned();
    path.push(":");
    if let Some(parts) = &lab.plan().options.kubernetes {
        process.env("KUBECONFIG", lab.admin_kubeconfig());
        path.push(parts.bin_dir());
        path.push(":");
    }
    path.push(std::env::var_os("PATH").unwrap_or_default());
    process.env("PATH", path);
    let init = super::cluster::first_process(&lab, target);
    lab.close();
    match init {
        Some(init) => process = super::cluster::on_host(init, &process),
        None => netns::enter(&netns)?,
    }
    Err(process.exec()).with_context(|| format!("cannot run {}", command[0]))
}

/// What the plugin on a host logs: no component does.
fn plugin_log(lab: &Lab, component: &str) -> anyhow::Result<PathBuf> {
    let host = component.strip_suffix("/cni").and_then(|host| lab.plan().host(host));
    let host = host.with_context(|| format!("there is no host of {component:?}; next: node-1/cni"))?;
    Ok(chart::plugin_log(lab.plan(), &host))
}

fn logs(context: &Context, component: &str, lines: u32, follow: bool) -> anyhow::Result<ExitCode> {
    let lab = inspect(context)?;
    let files: Vec<_> = match component.strip_prefix("pod/") {
        Some(pod) => vec![sandbox(&lab, pod)?.log(&lab)],
        None if component.ends_with("/cni") => vec![plugin_log(&lab, component)?],
        None => Component::select(lab.plan(), component)?
            .iter()
            .map(|c| c.log(lab.plan()))
            .collect(),
    };
    lab.close();
    let mut tail = Process::new("tail");
    tail.arg(format!("--lines={lines}"));
    if follow {
        tail.arg("--follow=name").arg("--retry");
    }
    Err(tail.args(files).exec()).context("cannot run tail")
}

fn restart(context: &Context, component: &str, crash: bool) -> anyhow::Result<ExitCode> {
    let lab = open(context)?;
    let components = Component::select(lab.plan(), component)?;
    for component in &components {
        context.ui.step(&format!("restart {component}"), || {
            let name = component.pid_name();
            if crash {
                lab.processes().crash(&name)?;
            } else {
                lab.processes().stop(&name)?;
            }
            lab.start(component)
        })?;
    }
    if components.iter().any(|c| c.role == Role::Init) {
        // It took everything else on its host along.
        lab.repair()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A pod by `NAMESPACE/NAME`, or by a name that only one namespace has.
fn sandbox(lab: &Lab, text: &str) -> anyhow::Result<Sandbox> {
    let text = text.strip_prefix("pod/").unwrap_or(text);
    let all = Sandbox::all(lab)?;
    let mut found: Vec<_> = all.iter().filter(|s| s.pod() == text || s.name == text).collect();
    match (found.pop(), found.is_empty()) {
        (Some(sandbox), true) => Ok(sandbox.clone()),
        (Some(_), false) => bail!("several namespaces have a pod {text}; write NAMESPACE/{text}"),
        (None, _) => {
            let pods: Vec<_> = all.iter().map(Sandbox::pod).collect();
            bail!("no pod or host {text:?} runs; pods: {}", pods.join(", "))
        }
    }
}
