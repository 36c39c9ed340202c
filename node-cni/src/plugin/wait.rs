//! Connecting to a local daemon that may be starting, without polling.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Between `bind` and `listen` a daemon's socket exists and refuses, and `listen` notifies nobody: only in this state
/// is there a clock beside the notification.
const REFUSED_RECHECK: Duration = Duration::from_millis(100);

/// Calls `attempt` until it succeeds, again each time something changes where the socket should be.
///
/// Only "there is no such socket" and "nobody listens on it" are waited for; any other failure is final. At the
/// deadline the last failure is returned.
pub(super) fn until_connected<T, E: std::error::Error + 'static>(
    socket: &Path,
    deadline: Instant,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    // Without a watch at first: nearly always somebody listens, and the kernel takes some 20 ms to close one.
    let mut error = match attempt() {
        Ok(connected) => return Ok(connected),
        Err(error) => error,
    };
    while is_waitable(&error) && Instant::now() < deadline {
        // Watch first, then try: a socket that appears in between is not missed.
        let watch = watch(socket);
        error = match attempt() {
            Ok(connected) => return Ok(connected),
            // The deadline passed on the way; the reason why there was no connection before is worth more.
            Err(_) if Instant::now() >= deadline => break,
            Err(error) => error,
        };
        if is_waitable(&error) {
            wait(watch.as_ref().ok(), &error, deadline);
        }
    }
    Err(error)
}

fn is_waitable(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        io_kind(error),
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
    )
}

fn wait(watch: Option<&Inotify>, error: &(dyn std::error::Error + 'static), deadline: Instant) {
    let remaining = deadline.saturating_duration_since(Instant::now());
    let limit = match (watch, io_kind(error)) {
        (Some(_), Some(io::ErrorKind::NotFound)) => remaining,
        // Refused; or inotify itself is exhausted (fs.inotify.max_user_instances).
        _ => remaining.min(REFUSED_RECHECK),
    };
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    // Interrupted or failed: the next attempt tells.
    let _ = match watch {
        Some(inotify) => poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout),
        None => poll(&mut [], timeout),
    };
}

/// Watches the deepest folder on the way to the socket that exists.
fn watch(socket: &Path) -> Result<Inotify, Errno> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF;
    loop {
        let mut deeper = None;
        let mut watched = Err(Errno::ENOENT);
        for folder in socket.ancestors().skip(1) {
            watched = inotify.add_watch(folder, flags);
            if watched.is_ok() {
                break;
            }
            deeper = Some(folder);
        }
        watched?;
        // Made between our two looks: the folder above would not notify us of what happens in it.
        if !deeper.is_some_and(Path::exists) {
            return Ok(inotify);
        }
    }
}

/// The I/O error at the root of an error.
fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::thread;

    use super::*;

    #[test]
    fn a_socket_whose_folder_is_made_later_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("late/node.sock");
        let path = socket.clone();
        let (waiting, waits) = std::sync::mpsc::channel();
        let daemon = thread::spawn(move || {
            // The plugin has tried at least once.
            waits.recv().unwrap();
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            UnixListener::bind(path).unwrap()
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        let connected = until_connected(&socket, deadline, || {
            let result = UnixStream::connect(&socket);
            let _ = waiting.send(());
            result
        });
        connected.unwrap();
        daemon.join().unwrap();
    }

    #[test]
    fn a_stale_socket_is_tried_until_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("node.sock");
        drop(UnixListener::bind(&socket).unwrap());
        let deadline = Instant::now() + Duration::from_millis(250);
        let mut attempts = 0;
        let error = until_connected(&socket, deadline, || {
            attempts += 1;
            UnixStream::connect(&socket)
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(attempts >= 2);
    }
}
