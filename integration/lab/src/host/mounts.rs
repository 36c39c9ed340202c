//! What a host sees as its own in the file system: the machine's, with /run, /sys and /proc of its
//! own, changes to /etc, /opt and /var for itself, and the folders that are its disk.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a host's file system is put together; written by the lab, read by the host's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The host's name.
    pub name: String,
    /// Its /etc/hosts.
    pub hosts: String,
    /// Folders of the machine and where the host sees them, in this order.
    pub binds: Vec<Bind>,
}

/// A folder of the machine that a host sees somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// On the machine.
    pub from: PathBuf,
    /// On the host; made if absent.
    pub to: PathBuf,
}

/// Folders to which the host's changes are its own and gone with a reboot, unless a [`Bind`] puts
/// a part of its disk there. They are how mount points come about that the machine does not have.
const LAYERED: [&str; 3] = ["/etc", "/opt", "/var"];

/// Parameters that kubelet sets for the whole kernel. A host has only a picture of them that is
/// as kubelet wants it: the machine's own are nobody's business here.
const TUNABLES: &[(&str, &str)] = &[
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

impl Layout {
    /// Reads what [`Layout::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(Error::file("read", path))?;
        serde_json::from_slice(&text).map_err(|e| Error::Malformed {
            path: path.to_owned(),
            reason: e.to_string(),
        })
    }

    /// Writes it for the host's first process.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("plain data");
        fs::write(path, text).map_err(Error::file("write", path))
    }
}

/// Mounts everything, in a mount namespace that is new and ours.
pub(super) fn make(layout: &Layout) -> Result<()> {
    let root = Path::new("/");
    // Nothing of what follows may reach the machine.
    change(root, MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // Held open: what follows hides some of them.
    let folders = layout
        .binds
        .iter()
        .map(|bind| Ok((Held::open(&bind.from)?, &bind.to)))
        .collect::<Result<Vec<_>>>()?;
    let cgroups = Held::open(Path::new("/sys/fs/cgroup"))?;
    fresh("proc", Path::new("/proc"), "")?;
    // With the interfaces of the host's own network.
    fresh("sysfs", Path::new("/sys"), "")?;
    cgroups.bind(Path::new("/sys/fs/cgroup"))?;
    let bpf = Path::new("/sys/fs/bpf");
    if bpf.exists() {
        // A kernel without BPF has the folder but not the file system.
        fresh("bpf", bpf, "").ok();
    }
    fresh("tmpfs", Path::new("/run"), "mode=755")?;
    for dir in ["/run/lock", "/run/netns"] {
        create(Path::new(dir))?;
    }
    LAYERED.iter().try_for_each(|dir| layer(Path::new(dir)))?;
    for (folder, to) in &folders {
        create(to)?;
        folder.bind(to)?;
    }
    own_files(layout)?;
    own_tunables()?;
    // Pods may ask for mounts that propagate.
    change(root, MsFlags::MS_REC | MsFlags::MS_SHARED)
}

/// Keeps the machine's folder below and the host's changes in its memory.
fn layer(dir: &Path) -> Result<()> {
    let layers = Path::new("/run/.layers").join(dir.strip_prefix("/").unwrap_or(dir));
    let (upper, work) = (layers.join("upper"), layers.join("work"));
    create(&upper)?;
    create(&work)?;
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        dir.display(),
        upper.display(),
        work.display()
    );
    fresh("overlay", dir, &options)
}

fn own_files(layout: &Layout) -> Result<()> {
    let files = [
        ("/etc/hostname", format!("{}\n", layout.name)),
        ("/etc/hosts", layout.hosts.clone()),
        // Names outside the cluster are nobody's to resolve here.
        ("/etc/resolv.conf", String::new()),
    ];
    for (path, text) in files {
        let path = Path::new(path);
        // It may be a link to somewhere that the host does not have.
        fs::remove_file(path).ok();
        fs::write(path, text).map_err(Error::file("write", path))?;
    }
    Ok(())
}

fn own_tunables() -> Result<()> {
    for (name, value) in TUNABLES {
        let real = Path::new("/proc/sys").join(name);
        let own = Path::new("/run/.tunables").join(name);
        if !real.exists() {
            continue;
        }
        create(own.parent().unwrap_or(&own))?;
        fs::write(&own, format!("{value}\n")).map_err(Error::file("write", &own))?;
        Held::open(&own)?.bind(&real)?;
    }
    Ok(())
}

/// A file or folder that stays reachable when something is mounted over it.
struct Held(File);

impl Held {
    fn open(path: &Path) -> Result<Self> {
        OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_PATH | nix::libc::O_CLOEXEC)
            .open(path)
            .map(Self)
            .map_err(Error::file("open", path))
    }

    fn bind(&self, to: &Path) -> Result<()> {
        let from = format!("/proc/self/fd/{}", self.0.as_raw_fd());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        mount(Some(from.as_str()), to, None::<&str>, flags, None::<&str>).map_err(failed(to))
    }
}

fn fresh(kind: &str, to: &Path, options: &str) -> Result<()> {
    mount(Some(kind), to, Some(kind), MsFlags::empty(), Some(options)).map_err(failed(to))
}

fn change(to: &Path, propagation: MsFlags) -> Result<()> {
    mount(None::<&str>, to, None::<&str>, propagation, None::<&str>).map_err(failed(to))
}

fn create(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::file("create", dir))
}

fn failed(to: &Path) -> impl FnOnce(nix::errno::Errno) -> Error {
    let to = to.to_owned();
    move |e| Error::file("mount", &to)(e.into())
}
