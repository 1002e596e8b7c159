//! A scripted phone on a socket of its own.

use super::*;
use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub(super) struct Scripted {
    pub(super) folder: TempDir,
    pub(super) muxer: Muxer,
    pub(super) udid: String,
}

impl Scripted {
    /// On TCP, in a good mood.
    pub(super) fn new() -> Self {
        Self::with(Script::default(), "127.0.0.1:0")
    }

    pub(super) fn tcp(script: Script) -> Self {
        Self::with(script, "127.0.0.1:0")
    }

    /// On a unix socket.
    pub(super) fn unix(script: Script) -> Self {
        Self::with(script, "/")
    }

    /// The same phone, locked, behind another daemon.
    pub(super) fn relocked(self) -> Self {
        Self::at(self.folder, Script { locked: true, ..Script::default() }, "127.0.0.1:0")
    }

    fn with(script: Script, address: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), script, address)
    }

    fn at(folder: TempDir, script: Script, address: &str) -> Self {
        let socket = folder.path().join("mux").display().to_string();
        let address = if address == "/" { &socket } else { address };
        let state = State::new(3, Preset::Small);
        let phone =
            Arc::new(ScriptedPhone::open(&folder.path().join("state"), state, script).unwrap());
        let listener = Listener::bind(address).unwrap();
        let address = MuxerAddress::parse(&listener.address().unwrap()).unwrap();
        let udid = phone.udid().to_owned();
        std::thread::spawn(move || serve(&phone, &listener));
        Self { folder, muxer: Muxer::new(address).unwrap(), udid }
    }

    pub(super) fn attached(&self) -> Attached {
        self.muxer.list().unwrap().remove(0)
    }

    pub(super) fn pair(&self) {
        self.try_pair(&mut |_| ControlFlow::Continue(())).unwrap();
    }

    pub(super) fn try_pair(
        &self,
        told: &mut dyn FnMut(PairState) -> ControlFlow<()>,
    ) -> Result<(), ConnectError> {
        pair(&self.muxer, &self.attached(), "Test", Duration::from_secs(20), told)
    }

    pub(super) fn phone(&self) -> Phone {
        self.pair();
        Phone::connect(&self.muxer, &self.attached()).unwrap()
    }

    /// What the phone wrote down.
    pub(super) fn journal(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("state/journal.jsonl")).unwrap()
    }

    pub(super) fn has_violations(&self) -> bool {
        self.journal().contains("\"violation\"")
    }
}
