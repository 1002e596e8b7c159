//! TLS as a paired phone speaks it: its certificate is the one the host made for it, and the host must show its own.
//!
//! Invariant: a handshake succeeds only with a certificate of the pair record, and with proof of its private key. Every
//! scripted phone has the same RSA key, which is published in this tree and protects nothing.

use super::error::DeviceError;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use std::sync::Arc;

const PRIVATE_KEY: &[u8] = include_bytes!("key.pem");

/// `DevicePublicKey`, PKCS#1 in PEM: hosts make the device's certificate from it.
pub(crate) const PUBLIC_KEY: &[u8] = include_bytes!("key.pub.pem");

/// What TLS needs for one paired host: `device` is our certificate, `hosts` are those it may show.
pub(crate) fn config(device: &[u8], hosts: &[&[u8]]) -> Result<Arc<ServerConfig>, DeviceError> {
    let provider = Arc::new(ring::default_provider());
    let accepted = hosts.iter().map(|pem| certificate(pem)).collect::<Result<Vec<_>, _>>()?;
    let verifier = Arc::new(PairedHost { accepted, provider: Arc::clone(&provider) });
    let key = PrivateKeyDer::from_pem_slice(PRIVATE_KEY)
        .map_err(|_| DeviceError::Breach { rule: "the phone's own key is readable" })?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate(device)?], key)?;
    Ok(Arc::new(config))
}

/// Reads a certificate of a pair record.
pub(crate) fn certificate(pem: &[u8]) -> Result<CertificateDer<'static>, DeviceError> {
    CertificateDer::from_pem_slice(pem)
        .map_err(|_| DeviceError::Breach { rule: "certificates of a pair record are PEM" })
}

#[derive(Debug)]
struct PairedHost {
    accepted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for PairedHost {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.accepted.iter().any(|each| each == end_entity) {
            return Ok(ClientCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
