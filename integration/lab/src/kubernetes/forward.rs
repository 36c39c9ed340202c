//! A port of the machine's loopback that leads into one of the lab's networks: no interface
//! appears in the machine's own namespace, and yet its programs reach the API.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{access, control_plane};
use crate::error::{Error, Result};
use crate::netns;
use crate::plan::Plan;

/// How long the far side may take to accept.
const CONNECTING: Duration = Duration::from_secs(10);

/// From where to where.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Where to listen, on the machine.
    pub listen: SocketAddr,
    /// The network namespace the target is reached from.
    pub netns: String,
    /// Where connections end.
    pub to: SocketAddr,
}

/// The command line that forwards the API's port.
pub(crate) fn command(plan: &Plan, program: &Path) -> Result<Vec<String>> {
    let to = SocketAddr::new(control_plane::api_address(plan), control_plane::API_PORT);
    Ok(vec![
        program.display().to_string(),
        "forward".into(),
        format!("--listen={}", access::forwarded(plan)?),
        format!("--netns={}", plan.central()),
        format!("--to={to}"),
    ])
}

/// Whether somebody listens.
pub(crate) fn ready(plan: &Plan) -> bool {
    access::forwarded(plan).is_ok_and(|address| TcpStream::connect(address).is_ok())
}

impl Forward {
    /// Forwards until killed; returns only if it cannot listen.
    pub fn run(&self) -> Result<()> {
        let listener = TcpListener::bind(self.listen).map_err(Error::net(format!("listen on {}", self.listen)))?;
        for client in listener.incoming().flatten() {
            let forward = self.clone();
            // A client that finds nobody behind the port sees its connection end.
            thread::spawn(move || forward.serve(client).ok());
        }
        Ok(())
    }

    fn serve(&self, client: TcpStream) -> Result<()> {
        let server = netns::within(&self.netns, || {
            TcpStream::connect_timeout(&self.to, CONNECTING).map_err(Error::net(format!("connect to {}", self.to)))
        })?;
        let (client, server) = (Arc::new(client), Arc::new(server));
        let back = (server.clone(), client.clone());
        let answers = thread::spawn(move || copy(&back.0, &back.1));
        copy(&client, &server);
        answers.join().ok();
        Ok(())
    }
}

/// Copies until one side ends, and lets the other know.
fn copy(from: &TcpStream, to: &TcpStream) {
    io::copy(&mut &*from, &mut &*to).ok();
    to.shutdown(Shutdown::Write).ok();
    from.shutdown(Shutdown::Read).ok();
}
