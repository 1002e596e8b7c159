//! The pair record: what this computer shows the phone, and the phone's certificate.
//!
//! Invariant: it is a key to the phone. Nothing here can be shown, cloned or logged; the private key goes into the TLS
//! configuration and nowhere else, all other copies are wiped.

use super::message::{parse, text};
use super::{ConnectError, Connection, tls};
use plist::{Dictionary, Value};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;
use zeroize::{Zeroize, Zeroizing};

/// A pair record, ready for use.
pub(super) struct PairRecord {
    pub(super) host_id: String,
    pub(super) system_buid: String,
    pub(super) escrow_bag: Option<Zeroizing<Vec<u8>>>,
    pub(super) tls: Arc<ClientConfig>,
}

impl PairRecord {
    /// Reads the property list that the mux daemon keeps.
    pub(super) fn decode(bytes: &[u8], connection: Connection) -> Result<Self, ConnectError> {
        let mut record =
            parse(bytes, "the mux daemon").map_err(|_| ConnectError::PairRecordDamaged)?;
        let decoded = Self::of(&record, connection);
        for value in record.values_mut() {
            if let Value::Data(bytes) = value {
                bytes.zeroize();
            }
        }
        decoded
    }

    fn of(record: &Dictionary, connection: Connection) -> Result<Self, ConnectError> {
        let (host_id, system_buid) = (text(record, "HostID"), text(record, "SystemBUID"));
        if host_id.is_empty() || system_buid.is_empty() {
            return Err(ConnectError::PairRecordDamaged);
        }
        let private_key = PrivateKeyDer::from_pem_slice(pem(record, "HostPrivateKey")?)
            .map_err(|_| ConnectError::PairRecordDamaged)?;
        let phone = match connection {
            Connection::Network => Some(certificate(record, "DeviceCertificate")?),
            Connection::Usb => None,
        };
        let tls = tls::config(certificate(record, "HostCertificate")?, private_key, phone)?;
        let escrow_bag = record.get("EscrowBag").and_then(Value::as_data);
        Ok(Self {
            host_id: host_id.to_owned(),
            system_buid: system_buid.to_owned(),
            escrow_bag: escrow_bag.map(|bag| Zeroizing::new(bag.to_vec())),
            tls: Arc::new(tls),
        })
    }
}

fn pem<'a>(record: &'a Dictionary, key: &str) -> Result<&'a [u8], ConnectError> {
    record.get(key).and_then(Value::as_data).ok_or(ConnectError::PairRecordDamaged)
}

fn certificate(record: &Dictionary, key: &str) -> Result<CertificateDer<'static>, ConnectError> {
    CertificateDer::from_pem_slice(pem(record, key)?).map_err(|_| ConnectError::PairRecordDamaged)
}
