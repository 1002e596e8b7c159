//! What no host may do for a phone, asked one thing at a time: to leave the phone's folder, or to lose it.
//!
//! Invariant: each request is answered, and the journal says how; a host that does what it is asked breaks a rule. The
//! backup goes on afterwards as if nothing had been asked.

use super::super::error::DeviceError;
use super::super::host_files::{Body, Fetched, ON, Upload};
use super::Backup;
use plist::{Dictionary, Value};
use serde_json::json;

/// Another phone's folder.
const OTHER: &str = "00008110-00000000DEADBEEF";
const RULE: &str = "names that lead out of the phone's folder are refused";
/// A path longer than any host takes, below the phone's folder.
const LONG_LEN: usize = 5_000;

impl Backup<'_, '_> {
    pub(super) fn ask_hostile_things(&mut self) -> Result<(), DeviceError> {
        let own = self.udid.clone();
        let outside = [
            format!("{own}/../x"),
            "../x".to_owned(),
            "/etc/x".to_owned(),
            format!("{OTHER}/Status.plist"),
            format!("{own}/a\0b"),
            format!("{own}/{}", "x".repeat(LONG_LEN)),
        ];
        for path in &outside {
            self.upload_badly(path)?;
        }
        for path in &outside {
            self.ask_badly("DLMessageCreateDirectory", path, vec![path.clone().into()])?;
            self.move_badly(&self.path("Status.plist"), path)?;
            let from = self.path("Status.plist");
            let arguments = vec![from.into(), path.clone().into()];
            self.ask_badly("DLMessageCopyItem", path, arguments)?;
        }
        self.move_badly("../../etc/passwd", &self.path("x"))?;
        self.move_badly(&own, &format!("{OTHER}-moved"))?;
        for path in
            ["..", "", "/", own.as_str(), &format!("{own}/.."), &format!("{own}/../{OTHER}")]
        {
            let list = Value::Array(vec![path.into()]);
            let arguments = vec![list, Dictionary::new().into(), Value::Real(5.0)];
            self.ask_badly("DLMessageRemoveItems", path, arguments)?;
        }
        self.read_badly(&format!("{own}/../../etc/passwd"))?;
        self.read_badly("/etc/passwd")?;
        self.list_badly("..")?;
        self.list_badly(&format!("{own}/../.."))
    }

    fn upload_badly(&mut self, path: &str) -> Result<(), DeviceError> {
        let upload = Upload {
            device_name: "/private/var/mobile/hostile".to_owned(),
            host_path: path.to_owned(),
            body: Body::Bytes(b"this must not be kept"),
        };
        let (_, status) = self.host.send_batch(&[upload], 21)?;
        self.judge("DLMessageUploadFiles", path, status.code);
        Ok(())
    }

    fn move_badly(&mut self, from: &str, to: &str) -> Result<(), DeviceError> {
        let mut pairs = Dictionary::new();
        pairs.insert(from.to_owned(), to.into());
        let arguments = vec![pairs.into(), Dictionary::new().into(), Value::Real(5.0)];
        self.ask_badly("DLMessageMoveItems", &format!("{from} to {to}"), arguments)
    }

    fn ask_badly(
        &mut self,
        request: &str,
        what: &str,
        arguments: Vec<Value>,
    ) -> Result<(), DeviceError> {
        let message = std::iter::once(request.into()).chain(arguments).collect();
        let status = self.host.ask_badly(message)?;
        self.judge(request, what, status.code);
        Ok(())
    }

    fn read_badly(&mut self, path: &str) -> Result<(), DeviceError> {
        let (fetched, _) = self.host.fetch(&[path.to_owned()], |_, _| Ok(()))?;
        let is_refused = fetched.first() == Some(&Fetched::Failed);
        self.judge("DLMessageDownloadFiles", path, i64::from(is_refused));
        Ok(())
    }

    /// Nothing at all is as good an answer as an error.
    fn list_badly(&mut self, path: &str) -> Result<(), DeviceError> {
        let message = vec!["DLContentsOfDirectory".into(), path.into()];
        let status = self.host.ask_badly(message)?;
        let is_empty = status.value.as_dictionary().is_none_or(Dictionary::is_empty);
        let code = if is_empty { 1 } else { status.code };
        self.judge("DLContentsOfDirectory", path, code);
        Ok(())
    }

    fn judge(&self, request: &str, what: &str, code: i64) {
        let what: String = what.chars().take(120).collect();
        let detail = json!({ "request": request, "what": what, "code": code });
        self.phone.journal.note(ON, "hostile", &detail);
        if code == 0 {
            self.host.breach(RULE, &detail);
        }
    }
}
