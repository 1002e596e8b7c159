//! The configuration file.
//!
//! Invariant: no secret ever stands in it; a name that is not known is an error that suggests the nearest one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};

use super::failure::{Failure, code};

/// What can stand in `russet.toml`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Settings {
    /// Repository that is meant when none is named.
    pub(super) default_repo: Option<String>,
    /// Named repositories.
    #[serde(default)]
    pub(super) repo: BTreeMap<String, NamedRepository>,
}

/// One named repository.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamedRepository {
    /// Where it is.
    pub(super) url: PathBuf,
    /// Where its password comes from.
    pub(super) password: Option<PasswordSource>,
}

/// Where a password comes from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub(super) enum PasswordSource {
    /// A terminal.
    Prompt,
    /// A file.
    File(PathBuf),
    /// The output of a command.
    Command(String),
}

/// A variable of the environment; one set to nothing counts as not set.
pub(super) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Where the file is looked for.
pub(super) fn path() -> Option<PathBuf> {
    if let Some(path) = variable("RUSSET_CONFIG") {
        return Some(PathBuf::from(path));
    }
    Some(choose_base_strategy().ok()?.config_dir().join("russet").join("russet.toml"))
}

/// Where this computer's index lies unless told otherwise.
pub(super) fn cache_dir() -> Option<PathBuf> {
    Some(choose_base_strategy().ok()?.cache_dir().join("russet"))
}

/// Reads the file; one that is not there is empty.
pub(super) fn read(path: Option<&Path>) -> Result<Settings, Failure> {
    let Some(path) = path else { return Ok(Settings::default()) };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        Err(error) => {
            return Err(Failure::new(
                code::USAGE,
                format!("could not read the configuration file {}: {error}", path.display()),
            ));
        }
    };
    toml::from_str(&text).map_err(|error| {
        Failure::new(
            code::USAGE,
            format!(
                "the configuration file {} cannot be understood: {}",
                path.display(),
                error.message()
            ),
        )
        .next("correct that file, or remove it")
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_and_unknown_names_are_errors() {
        let good = "default-repo = \"a\"\n[repo.a]\nurl = \"/x\"\npassword = { file = \"/p\" }\n[repo.b]\nurl = \"/y\"\npassword = \"prompt\"";
        let settings: Settings = toml::from_str(good).unwrap();
        assert!(matches!(settings.repo["a"].password, Some(PasswordSource::File(_))));
        assert!(matches!(settings.repo["b"].password, Some(PasswordSource::Prompt)));
        let error = toml::from_str::<Settings>("defaultrepo = 1").unwrap_err();
        assert!(error.message().contains("default-repo"), "{}", error.message());
    }
}
