//! Pairing: the phone is asked to trust this computer, and its owner answers on the phone.
//!
//! Invariant: one request, made once, is repeated until it is answered or time is up. The root's private key never leaves
//! this computer. Keys and certificates are made by `idevice`, which is given values that were checked, over a pipe within
//! this process: it can neither wait for the phone nor be sent anything by it.

use super::lockdown::{LABEL, Lockdown, is_worn_out};
use super::message::{dictionary, parse, text, write_xml};
use super::record::PairRecord;
use super::wire::{Patience, wait};
use super::{Attached, ConnectError, Muxer};
use idevice::lockdown::LockdownClient;
use idevice::pairing_file::PairingFile;
use idevice::{Idevice, IdeviceError};
use plist::{Dictionary, Value};
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// How often the phone is asked again.
const POLL: Duration = Duration::from_secs(1);
/// The pipe to `idevice` holds any message of its.
const PIPE_LEN: usize = 64 * 1024;

/// What a pairing waits for; told each time the phone was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairState {
    /// The phone is locked: it has to be unlocked first.
    Locked,
    /// "Trust this computer?" is on the phone's screen.
    DialogWaiting,
}

/// Asks the phone to trust this computer, and has the mux daemon keep the record. `host_name` is shown by the phone.
/// `told` may break to give up.
///
/// # Errors
/// [`ConnectError::Denied`], [`ConnectError::ProhibitedOverWifi`] and [`ConnectError::Supervised`] are final. After
/// `patience`, the error says what it still waited for.
pub fn pair(
    muxer: &Muxer,
    attached: &Attached,
    host_name: &str,
    patience: Duration,
    told: &mut dyn FnMut(PairState) -> ControlFlow<()>,
) -> Result<(), ConnectError> {
    let mut lockdown = Lockdown::open(muxer, attached)?;
    let offer = Offer::make(muxer, attached, &mut lockdown, host_name)?;
    let since = Instant::now();
    let answer = loop {
        let (state, error) = match lockdown.ask("Pair", offer.request.clone()) {
            Ok(answer) => break answer,
            Err(error @ ConnectError::PasswordProtected) => (PairState::Locked, error),
            Err(error @ ConnectError::DialogPending) => (PairState::DialogWaiting, error),
            Err(error) if is_worn_out(&error) && since.elapsed() < patience => {
                pause(muxer)?;
                lockdown = Lockdown::open(muxer, attached)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        if told(state).is_break() {
            return Err(ConnectError::Stopped);
        }
        if since.elapsed() >= patience {
            return Err(error);
        }
        pause(muxer)?;
    };
    let record = offer.accept(muxer, attached, answer)?;
    muxer.save_pair_record(attached, &record)
}

/// Lets a moment pass.
fn pause(muxer: &Muxer) -> Result<(), ConnectError> {
    let patience = Patience { idle: POLL, ..muxer.patience().clone() };
    match wait(muxer.runtime(), &patience, std::future::pending::<()>()) {
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
        other => Ok(other?),
    }
}

/// A request that `idevice` has made, and `idevice` waiting for the answer to it. It ends when the pipe does.
struct Offer {
    request: Dictionary,
    pipe: DuplexStream,
    maker: JoinHandle<Result<PairingFile, IdeviceError>>,
}

impl Offer {
    fn make(
        muxer: &Muxer,
        attached: &Attached,
        lockdown: &mut Lockdown,
        host_name: &str,
    ) -> Result<Self, ConnectError> {
        let public_key = lockdown.value(None, Some("DevicePublicKey"))?;
        let Some(Value::Data(public_key)) = public_key else {
            return Err(bad_key());
        };
        let address = lockdown.value(None, Some("WiFiAddress"))?.and_then(Value::into_string);
        let buid = muxer.buid()?;
        let host_id = host_id(&buid, &attached.udid);
        let (mut pipe, far_end) = tokio::io::duplex(PIPE_LEN);
        let host_name = host_name.to_owned();
        let maker = muxer.runtime().spawn(async move {
            let mut client = LockdownClient::new(Idevice::new(Box::new(far_end), LABEL));
            client.pair_once(host_id, buid, Some(&host_name)).await
        });
        let drafted = draft(&mut pipe, public_key, address.unwrap_or_default());
        // It fails, or ends with a panic of the task, on a key that is none.
        let drafted = wait(muxer.runtime(), muxer.patience(), drafted)?;
        let mut request = drafted.map_err(|_| bad_key())?;
        if let Some(Value::Dictionary(record)) = request.get_mut("PairRecord") {
            record.remove("RootPrivateKey");
        }
        Ok(Self { request, pipe, maker })
    }

    /// The record, once the phone has agreed.
    fn accept(
        mut self,
        muxer: &Muxer,
        attached: &Attached,
        answer: Dictionary,
    ) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        let made = wait(muxer.runtime(), muxer.patience(), async {
            write_frame(&mut self.pipe, answer).await?;
            self.maker.await.map_err(io::Error::other)
        })??;
        let mut made = made.map_err(|_| bad_answer())?;
        made.udid = Some(attached.udid.clone());
        let bytes = Zeroizing::new(made.serialize().map_err(|_| bad_answer())?);
        // A record that could not be used must not replace one that can.
        PairRecord::decode(&bytes, attached.connection)?;
        Ok(bytes)
    }
}

fn bad_key() -> ConnectError {
    ConnectError::Malformed { from: "the phone", what: "a public key" }
}

fn bad_answer() -> ConnectError {
    ConnectError::Malformed { from: "the phone", what: "an answer to a pairing" }
}

/// Answers the questions of `idevice` until it offers the pairing.
async fn draft(
    pipe: &mut DuplexStream,
    public_key: Vec<u8>,
    address: String,
) -> Result<Dictionary, ConnectError> {
    loop {
        let request = read_frame(pipe).await?;
        let value = match (text(&request, "Request"), text(&request, "Key")) {
            ("Pair", _) => return Ok(request),
            ("GetValue", "DevicePublicKey") => Value::Data(public_key.clone()),
            ("GetValue", "WiFiAddress") => address.as_str().into(),
            _ => return Err(bad_key()),
        };
        write_frame(pipe, dictionary([("Value", value)])).await?;
    }
}

async fn read_frame(pipe: &mut DuplexStream) -> Result<Dictionary, ConnectError> {
    let len = pipe.read_u32().await?;
    let mut bytes = Zeroizing::new(Vec::new());
    pipe.take(u64::from(len)).read_to_end(&mut bytes).await?;
    parse(&bytes, "this computer")
}

async fn write_frame(pipe: &mut DuplexStream, message: Dictionary) -> io::Result<()> {
    let mut bytes = Vec::new();
    write_xml(message, &mut bytes).map_err(io::Error::other)?;
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    pipe.write_u32(len).await?;
    pipe.write_all(&bytes).await
}

/// The id this computer goes by at one phone: always the same, so that pairing again replaces the old trust.
fn host_id(buid: &str, udid: &str) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("russet 2026 host id of a pairing");
    hasher.update(buid.as_bytes()).update(&[0]).update(udid.as_bytes());
    let mut id = String::new();
    for (index, byte) in hasher.finalize().as_bytes().iter().take(16).enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            id.push('-');
        }
        id.push_str(&format!("{byte:02X}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_id_has_the_form_of_a_uuid_and_differs_by_phone() {
        let one = host_id("B", "0000");
        let shape: String = one.chars().map(|c| if c == '-' { '-' } else { 'x' }).collect();
        assert_eq!(shape, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx");
        assert_ne!(one, host_id("B", "0001"));
        assert_eq!(one, host_id("B", "0000"));
    }
}
