//! The open sockets of a phone or of a mux daemon, so that whoever pulls the cable can end them all.
//!
//! Invariant: a socket is here as long as its conversation's guard lives. Ending one wakes whoever reads or writes on it.
//! Does not know what is said on them.

use super::link::{Shut, Wire};
use super::locked;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

/// Open sockets.
#[derive(Default)]
pub(crate) struct Wires {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    last: u64,
    all: BTreeMap<u64, (Sort, Shut)>,
}

/// What a socket is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Talk with the mux daemon and with lockdown; for the daemon, any.
    Control,
    /// A service over USB.
    Usb,
    /// A service over the network, which ends when heartbeats do.
    Network,
}

/// Keeps a socket in the list.
pub(crate) struct Registered {
    wires: Arc<Wires>,
    number: u64,
}

impl Wires {
    /// Lists a socket as long as the answer lives.
    pub(crate) fn add(self: &Arc<Self>, sort: Sort, wire: &dyn Wire) -> io::Result<Registered> {
        let shut = wire.shut()?;
        let mut open = locked(&self.open);
        open.last += 1;
        let number = open.last;
        open.all.insert(number, (sort, shut));
        Ok(Registered { wires: Arc::clone(self), number })
    }

    /// Ends all sockets of these sorts; the answer is their number.
    pub(crate) fn end(&self, sorts: &[Sort]) -> usize {
        let open = locked(&self.open);
        let chosen = open.all.values().filter(|(sort, _)| sorts.contains(sort));
        chosen.map(|(_, shut)| shut()).count()
    }

    /// Number of sockets of this sort.
    pub(crate) fn count(&self, wanted: Sort) -> usize {
        locked(&self.open).all.values().filter(|(sort, _)| *sort == wanted).count()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        locked(&self.wires.open).all.remove(&self.number);
    }
}
