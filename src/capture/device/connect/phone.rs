//! A phone that trusts this computer: a session with it, its values, and its services.
//!
//! Invariant: every connection to it is made here, under TLS where the phone wants it. A conversation with lockdown that ran
//! out is opened anew once, without the caller's notice.

use super::lockdown::{Lockdown, Started, handshake, is_worn_out};
use super::message::dictionary;
use super::record::PairRecord;
use super::stream::PhoneStream;
use super::{Attached, ConnectError, Muxer, Values};
use plist::Value;
use std::fmt;
use std::time::Duration;

/// How long a service may be silent: the phone may wait for its passcode, or think for minutes.
const SERVICE_IDLE: Duration = Duration::from_secs(600);

/// A phone that trusts this computer.
pub struct Phone {
    muxer: Muxer,
    attached: Attached,
    record: PairRecord,
    lockdown: Lockdown,
}

impl Phone {
    /// Opens a session with the pair record that the mux daemon keeps.
    ///
    /// # Errors
    /// [`ConnectError::NotPaired`] and [`ConnectError::PairingGone`] want a new pairing; others as they say.
    pub fn connect(muxer: &Muxer, attached: &Attached) -> Result<Self, ConnectError> {
        // First whether a phone is there at all: one in restore mode needs no pairing to be told.
        let lockdown = Lockdown::open(muxer, attached)?;
        let record = PairRecord::decode(&muxer.pair_record(&attached.udid)?, attached.connection)?;
        let lockdown = match lockdown.start_session(&record) {
            // A cable that was pulled looks the same: then there is no phone to talk to again.
            Err(ConnectError::PairingGone) => {
                Lockdown::open(muxer, attached)?;
                return Err(ConnectError::PairingGone);
            }
            other => other?,
        };
        Ok(Self { muxer: muxer.clone(), attached: attached.clone(), record, lockdown })
    }

    /// How it is attached.
    #[must_use]
    pub fn attached(&self) -> &Attached {
        &self.attached
    }

    /// The daemon that leads to it.
    pub(super) fn muxer(&self) -> &Muxer {
        &self.muxer
    }

    /// What the phone says of itself.
    ///
    /// # Errors
    /// The conversation broke; what the phone does not tell is none.
    pub fn values(&mut self) -> Result<Values, ConnectError> {
        self.retried(Values::ask)
    }

    /// Starts a service and connects to it. `escrow` lets it start while the phone is locked, as backups need. Reads of
    /// the stream wait ten minutes unless told otherwise.
    ///
    /// # Errors
    /// [`ConnectError::NoSuchService`], [`ConnectError::PasswordProtected`], or the connection broke.
    pub fn start_service(&mut self, name: &str, escrow: bool) -> Result<PhoneStream, ConnectError> {
        let bag = self.record.escrow_bag.as_ref().filter(|_| escrow).cloned();
        let Started { port, has_tls } = self.retried(|lockdown| {
            lockdown.start_service(name, bag.as_ref().map(|bag| bag.as_slice()))
        })?;
        let mut stream = self.muxer.connect(&self.attached, port)?;
        if has_tls {
            stream = stream.start_tls(&self.record.tls).map_err(handshake)?;
        }
        stream.set_idle(SERVICE_IDLE);
        Ok(stream)
    }

    /// Lets the phone be reached over Wi-Fi from now on.
    ///
    /// # Errors
    /// The phone refused, or the connection broke.
    pub fn enable_wifi(&mut self) -> Result<(), ConnectError> {
        self.retried(|lockdown| {
            let members = dictionary([
                ("Domain", "com.apple.mobile.wireless_lockdown".into()),
                ("Key", "EnableWifiConnections".into()),
                ("Value", Value::Boolean(true)),
            ]);
            lockdown.ask("SetValue", members).map(drop)
        })
    }

    /// Ends the trust on both sides. A phone that forgot already is fine.
    ///
    /// # Errors
    /// The phone refused, or a connection broke.
    pub fn unpair(self) -> Result<(), ConnectError> {
        let record = dictionary([
            ("HostID", self.record.host_id.as_str().into()),
            ("SystemBUID", self.record.system_buid.as_str().into()),
        ]);
        let mut lockdown = Lockdown::open(&self.muxer, &self.attached)?;
        match lockdown.ask("Unpair", dictionary([("PairRecord", record.into())])) {
            Ok(_) | Err(ConnectError::PairingGone) => {}
            Err(error) => return Err(error),
        }
        self.muxer.delete_pair_record(&self.attached.udid)
    }

    /// For tests that break it.
    #[cfg(test)]
    pub(super) fn lockdown(&mut self) -> &mut Lockdown {
        &mut self.lockdown
    }

    fn retried<T>(
        &mut self,
        mut ask: impl FnMut(&mut Lockdown) -> Result<T, ConnectError>,
    ) -> Result<T, ConnectError> {
        match ask(&mut self.lockdown) {
            Err(error) if is_worn_out(&error) => {
                let lockdown = Lockdown::open(&self.muxer, &self.attached)?;
                self.lockdown = lockdown.start_session(&self.record)?;
                ask(&mut self.lockdown)
            }
            other => other,
        }
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Phone").field("attached", &self.attached).finish_non_exhaustive()
    }
}
