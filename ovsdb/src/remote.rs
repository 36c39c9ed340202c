//! Where a database server listens, in the notation of the Open vSwitch tools.

use std::{fmt, path::PathBuf, str::FromStr};

/// One server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Remote {
    /// `unix:/path/to/socket`
    Unix(PathBuf),
    /// `tcp:host:port`; an IPv6 address is written in brackets.
    Tcp(String, u16),
    /// `ssl:host:port`; an IPv6 address is written in brackets.
    Ssl(String, u16),
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Not `unix:`, `tcp:` or `ssl:`.
    #[error("remote {0:?} does not begin with unix:, tcp: or ssl:")]
    Scheme(String),
    /// `unix:` without a path.
    #[error("remote {0:?} has no path")]
    Path(String),
    /// No host, or an IPv6 address outside brackets.
    #[error("remote {0:?} has no valid host; write an IPv6 address in brackets")]
    Host(String),
    /// No port, or none between 1 and 65535.
    #[error("remote {0:?} has no valid port")]
    Port(String),
    /// A list without elements.
    #[error("list of remotes is empty")]
    Empty,
}

impl Remote {
    /// Reads a list separated by commas, as in `tcp:10.0.0.1:6641,tcp:10.0.0.2:6641`.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, RemoteError> {
        let remotes = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if remotes.is_empty() {
            Err(RemoteError::Empty)
        } else {
            Ok(remotes)
        }
    }
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(RemoteError::Path(text.to_owned()))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if let Some(rest) = text.strip_prefix("tcp:") {
            let (host, port) = host_and_port(text, rest)?;
            return Ok(Self::Tcp(host, port));
        }
        if let Some(rest) = text.strip_prefix("ssl:") {
            let (host, port) = host_and_port(text, rest)?;
            return Ok(Self::Ssl(host, port));
        }
        Err(RemoteError::Scheme(text.to_owned()))
    }
}

fn host_and_port(text: &str, rest: &str) -> Result<(String, u16), RemoteError> {
    let (host, port) = rest
        .rsplit_once(':')
        .ok_or_else(|| RemoteError::Port(text.to_owned()))?;
    let port = match port.parse() {
        Ok(port) if port != 0 => port,
        _ => return Err(RemoteError::Port(text.to_owned())),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_ok() => address,
        None if !host.is_empty() && !host.contains([':', '[', ']']) => host,
        _ => return Err(RemoteError::Host(text.to_owned())),
    };
    Ok((host.to_owned(), port))
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Ssl(host, port) => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}:[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_written_as_they_are_read() {
        for text in [
            "unix:/run/ovn/ovnnb_db.sock",
            "tcp:10.0.0.1:6641",
            "ssl:nb.example:6641",
            "tcp:[::1]:6641",
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
        assert_eq!("tcp:[::1]:6641".parse(), Ok(Remote::Tcp("::1".to_owned(), 6641)));
    }

    #[test]
    fn a_list_may_have_blanks_and_must_have_elements() {
        let list = Remote::parse_list("tcp:a:1, ssl:b:2,").unwrap();
        assert_eq!(list, [Remote::Tcp("a".into(), 1), Remote::Ssl("b".into(), 2)]);
        assert_eq!(Remote::parse_list(" , "), Err(RemoteError::Empty));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |text: &str| text.parse::<Remote>().unwrap_err();
        assert_eq!(error("10.0.0.1:6641"), RemoteError::Scheme("10.0.0.1:6641".into()));
        assert_eq!(error("unix:"), RemoteError::Path("unix:".into()));
        assert_eq!(error("tcp:host"), RemoteError::Port("tcp:host".into()));
        assert_eq!(error("tcp:host:0"), RemoteError::Port("tcp:host:0".into()));
        assert_eq!(error("tcp:::1:6641"), RemoteError::Host("tcp:::1:6641".into()));
        assert_eq!(error("tcp::6641"), RemoteError::Host("tcp::6641".into()));
    }
}
