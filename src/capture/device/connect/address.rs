//! Where the mux daemon listens.
//!
//! Invariant: an address that was parsed names one place, a socket in the file system or a TCP port. The environment is not
//! read here: the text is passed in.

use std::fmt;
use std::path::PathBuf;

/// Where the mux daemon (usbmuxd, or Apple's own) is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MuxerAddress {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A host, by name or number, and a port.
    Tcp {
        /// Name, IPv4, or IPv6 without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing in it.
    #[error("the address of the mux daemon is empty")]
    Empty,
    /// Neither `HOST:PORT`, nor `/PATH`, nor `UNIX:/PATH`.
    #[error("the address of the mux daemon is neither HOST:PORT, nor /PATH, nor UNIX:/PATH")]
    Unknown,
    /// What stands after the last colon is no port.
    #[error("the address of the mux daemon ends in no port from 1 to 65535")]
    Port,
}

impl MuxerAddress {
    /// Reads the value of `USBMUXD_SOCKET_ADDRESS` in each form that some client takes: `HOST:PORT`, `[IPv6]:PORT`,
    /// `/PATH`, and `UNIX:/PATH`.
    ///
    /// # Errors
    /// See [`AddressError`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Some(path) = after_scheme(text) {
            return if path.is_empty() {
                Err(AddressError::Empty)
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Unknown)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(host) => host,
            // A colon is in an IPv6 address only, and then it is ambiguous where the port begins.
            None if host.contains([':', '/', '[', ']']) => return Err(AddressError::Unknown),
            None => host,
        };
        if host.is_empty() {
            return Err(AddressError::Unknown);
        }
        match port.parse() {
            Ok(0) | Err(_) => Err(AddressError::Port),
            Ok(port) => Ok(Self::Tcp { host: host.to_owned(), port }),
        }
    }

    /// Where the daemon of this system listens if nothing else is said.
    #[must_use]
    pub fn system() -> Self {
        if cfg!(windows) {
            Self::Tcp { host: "127.0.0.1".to_owned(), port: 27_015 }
        } else {
            Self::Unix(PathBuf::from("/var/run/usbmuxd"))
        }
    }
}

fn after_scheme(text: &str) -> Option<&str> {
    const SCHEME: &str = "UNIX:";
    let scheme = text.get(..SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| text.get(SCHEME.len()..)).flatten()
}

impl fmt::Display for MuxerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> MuxerAddress {
        MuxerAddress::Tcp { host: host.to_owned(), port }
    }

    #[test]
    fn a_host_may_be_a_name_or_a_number() {
        assert_eq!(MuxerAddress::parse("localhost:27015").unwrap(), tcp("localhost", 27_015));
        assert_eq!(MuxerAddress::parse("127.0.0.1:1").unwrap(), tcp("127.0.0.1", 1));
        assert_eq!(MuxerAddress::parse("[::1]:9").unwrap(), tcp("::1", 9));
    }

    #[test]
    fn a_path_may_be_bare_or_behind_unix() {
        let path = MuxerAddress::Unix(PathBuf::from("/run/mux"));
        assert_eq!(MuxerAddress::parse("/run/mux").unwrap(), path);
        assert_eq!(MuxerAddress::parse("UNIX:/run/mux").unwrap(), path);
    }

    #[test]
    fn what_names_no_place_is_refused() {
        for (text, error) in [
            ("", AddressError::Empty),
            ("UNIX:", AddressError::Empty),
            ("localhost", AddressError::Unknown),
            (":5", AddressError::Unknown),
            ("::1:5", AddressError::Unknown),
            ("localhost:", AddressError::Port),
            ("localhost:0", AddressError::Port),
            ("localhost:65536", AddressError::Port),
        ] {
            assert_eq!(MuxerAddress::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(text in "\\PC{0,20}") {
            if let Ok(address) = MuxerAddress::parse(&text) {
                prop_assert_eq!(MuxerAddress::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
