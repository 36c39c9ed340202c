//! The one thing that Open vSwitch is asked by OpenFlow: to forget connections that it tracks, of either datapath.
//!
//! An extension of Open vSwitch since 3.1 (`NXT_CT_FLUSH`, nicira-ext.h); what `ovs-ofctl ct-flush` sends.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Open vSwitch answers between two rounds of its main loop, which may take long where it has a lot to do.
const PATIENCE: Duration = Duration::from_secs(10);

/// OpenFlow 1.5, which ovn-controller speaks, too.
const VERSION: u8 = 6;
const HELLO: u8 = 0;
const ERROR: u8 = 1;
const EXPERIMENTER: u8 = 4;
const BARRIER_REQUEST: u8 = 20;
const BARRIER_REPLY: u8 = 21;
/// Version, type, length, transaction.
const HEADER: usize = 8;

/// Whose extension, and which.
const CT_FLUSH: [u32; 2] = [0x2320, 32];
/// Properties of it, and theirs.
const ORIGINAL: u16 = 0;
const REPLY: u16 = 1;
const SOURCE: u16 = 0;
const DESTINATION: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;

const UDP: u8 = 17;

/// Connections of UDP to `to` that are answered by `by`, in all zones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Connections {
    pub(super) to: SocketAddr,
    pub(super) by: SocketAddr,
}

/// Has a switch forget connections; `socket` is its management socket.
pub(super) async fn forget(socket: &Path, all: &[Connections]) -> io::Result<()> {
    timeout(PATIENCE, exchange(socket, all)).await?
}

async fn exchange(socket: &Path, all: &[Connections]) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    let messages = std::iter::once(message(HELLO, &[]));
    let messages = messages.chain(all.iter().map(flush));
    // What is asked is done in order.
    let messages: Vec<_> = messages.chain([message(BARRIER_REQUEST, &[])]).collect();
    stream.write_all(&messages.concat()).await?;
    loop {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let mut body = vec![0; length.saturating_sub(HEADER)];
        stream.read_exact(&mut body).await?;
        match header[1] {
            BARRIER_REPLY => return Ok(()),
            ERROR => {
                let number = |at: usize| {
                    body.get(at..at + 2)
                        .map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
                };
                let message = format!("refused with type {:?} and code {:?}", number(0), number(2));
                return Err(io::Error::other(message));
            }
            // Hello, and what a switch sends of itself.
            _ => {}
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).expect("every message is short");
    let mut message = vec![VERSION, kind];
    message.extend(length.to_be_bytes());
    message.extend(1_u32.to_be_bytes());
    message.extend(body);
    message
}

fn flush(Connections { to, by }: &Connections) -> Vec<u8> {
    let mut body: Vec<u8> = CT_FLUSH.into_iter().flat_map(u32::to_be_bytes).collect();
    body.extend([UDP, 0, 0, 0, 0, 0, 0, 0]);
    let original = [address(DESTINATION, to.ip()), port(DESTINATION_PORT, to.port())].concat();
    body.extend(property(ORIGINAL, &[&[0; 4], &*original].concat()));
    let reply = [address(SOURCE, by.ip()), port(SOURCE_PORT, by.port())].concat();
    body.extend(property(REPLY, &[&[0; 4], &*reply].concat()));
    message(EXPERIMENTER, &body)
}

fn address(kind: u16, ip: IpAddr) -> Vec<u8> {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    property(kind, &ip.octets())
}

fn port(kind: u16, number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    property(kind, &[high, low, 0, 0])
}

/// Type and length, which includes them and no padding to eight octets.
fn property(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("every property is short");
    let mut property = kind.to_be_bytes().to_vec();
    property.extend(length.to_be_bytes());
    property.extend(value);
    property.resize(property.len().next_multiple_of(8), 0);
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from `ovs-ofctl -O OpenFlow15 ct-flush … ct_nw_proto=17,ct_nw_dst=10.96.0.7,ct_tp_dst=53
    /// ct_nw_src=10.244.1.4,ct_tp_src=5353` of Open vSwitch 3.1, but for the number of the transaction.
    #[test]
    fn connections_are_named_as_ovs_ofctl_names_them() {
        let expected = "06040068000000010000232000000020110000000000000000000028000000000001001400000000000000000000ffff\
                        0a60000700000000000300080035000000010028000000000000001400000000000000000000ffff0af4010400000000\
                        0002000814e90000";
        let connections = Connections {
            to: "10.96.0.7:53".parse().unwrap(),
            by: "10.244.1.4:5353".parse().unwrap(),
        };
        let octets: Vec<String> = flush(&connections).iter().map(|octet| format!("{octet:02x}")).collect();
        assert_eq!(octets.concat(), expected);
    }

    #[tokio::test]
    async fn a_switch_that_cannot_do_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("br-int.mgmt");
        let switch = tokio::net::UnixListener::bind(&socket).unwrap();
        let answer = async {
            let (mut stream, _) = switch.accept().await.unwrap();
            stream.read_exact(&mut [0; 2 * HEADER]).await.unwrap();
            let error = message(ERROR, &[0, 1, 0, 2]);
            stream.write_all(&[message(HELLO, &[]), error].concat()).await.unwrap();
        };
        let (asked, ()) = tokio::join!(forget(&socket, &[]), answer);
        assert_eq!(
            asked.unwrap_err().to_string(),
            "refused with type Some(1) and code Some(2)"
        );
    }
}
