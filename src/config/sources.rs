//! The layers below the flags: variables, and the file.

use std::{
    error::Error as _,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use clap::{FromArgMatches, error::ContextKind};

use super::{ConfigError, Settings, cli};

/// Where the file of settings is, unless it is named.
pub const DEFAULT_FILE: &str = "flowstitch.toml";

/// Two words are alike from here on; 1 is the same word.
const ALIKE: f64 = 0.8;

/// What the variables say.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// The file to read.
    pub(super) config: Option<PathBuf>,
    pub(super) settings: Settings,
}

/// Reads the variables that begin with `FLOWSTITCH_`. Empty ones count as not set: that is how
/// compose files and unit files pass on what is not there.
pub(super) fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Variables, ConfigError> {
    let keys = cli::keys();
    let mut variables = Variables::default();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| is_ours(name, &value)) else { continue };
        let key = name[cli::VARIABLE_PREFIX.len()..].to_ascii_lowercase();
        let named_file = key == "config";
        if !named_file && (!keys.contains(&key) || cli::variable(&key) != name) {
            let known = keys.iter().map(String::as_str).chain(["config"]);
            let nearest = nearest(&key, known).map(cli::variable);
            return Err(ConfigError::UnknownVariable { name: name.into(), hint: hint(nearest) });
        }
        if value.is_empty() {
            continue;
        }
        if named_file {
            variables.config = Some(PathBuf::from(value));
        } else {
            // Each variable sets one field: the order of the environment does not matter.
            variables.settings = variables.settings.or(variable(name, &key, &value)?);
        }
    }
    Ok(variables)
}

/// Whether a variable is meant for us, and not made by Kubernetes: it gives every pod variables for
/// each service in its namespace, and a service may be called flowstitch, or flowstitch-web.
fn is_ours(name: &str, value: &OsStr) -> bool {
    name.strip_prefix(cli::VARIABLE_PREFIX).is_some_and(|rest| !is_of_a_service(rest, value))
}

/// `[NAME_]SERVICE_HOST`, `[NAME_]SERVICE_PORT[_NAME]`, `[NAME_]PORT_80_TCP[_ADDR]` and the like by
/// their names; `[NAME_]PORT` by its value, such as `tcp://10.0.0.1:80`, because `SMTP_PORT` is a
/// setting.
fn is_of_a_service(rest: &str, value: &OsStr) -> bool {
    let protocols = ["TCP", "UDP", "SCTP"];
    let words: Vec<&str> = rest.split('_').collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_digit());
    let has_port = words
        .windows(3)
        .any(|it| it[0] == "PORT" && is_number(it[1]) && protocols.contains(&it[2]));
    let has_service =
        words.windows(2).any(|it| it[0] == "SERVICE" && ["HOST", "PORT"].contains(&it[1]));
    let is_link =
        words.last() == Some(&"PORT") && value.to_str().is_some_and(|value| value.contains("://"));
    has_port || has_service || is_link
}

/// A variable is a flag that stands elsewhere: it is read by the same code.
fn variable(name: &str, key: &str, value: &OsStr) -> Result<Settings, ConfigError> {
    let mut flag = OsString::from(cli::flag(key));
    flag.push("=");
    flag.push(value);
    let read = cli::bare().try_get_matches_from([flag]);
    read.and_then(|matches| Settings::from_arg_matches(&matches))
        .map_err(|error| ConfigError::Variable { name: name.into(), reason: reason(&error) })
}

/// What is wrong with a value, without clap's words about the flag that it took it for.
fn reason(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(valid)) => format!("use one of: {valid}"),
        (None, None) => error.kind().to_string(),
    }
}

/// Reads the file that was named, which must be there, or else the default one, if it is there.
pub(super) fn file(
    named: Option<PathBuf>,
    default: &Path,
) -> Result<Option<(PathBuf, Settings)>, ConfigError> {
    let must_exist = named.is_some();
    let path = named.unwrap_or_else(|| default.to_owned());
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => return Ok(None),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    let settings = Settings::from_toml(&text)
        .map_err(|reason| ConfigError::File { path: path.clone(), reason })?;
    Ok(Some((path, settings)))
}

impl Settings {
    /// What this text says, as the content of a `flowstitch.toml`. Errors: what is wrong, where.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let said = |error: toml::de::Error| error.to_string().trim_end().to_owned();
        let table: toml::Table = text.parse().map_err(said)?;
        let keys = cli::keys();
        for key in table.keys() {
            if !keys.contains(key) {
                let nearest = nearest(key, keys.iter().map(String::as_str));
                return Err(format!(
                    "no setting is called {key:?}{}",
                    hint(nearest.map(Into::into))
                ));
            }
        }
        // From the text, not from the table: errors then show the line.
        toml::from_str(text).map_err(said)
    }
}

fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.replace('-', "_").to_ascii_lowercase();
    known
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .filter(|(likeness, _)| ALIKE <= *likeness)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

fn hint(nearest: Option<String>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean {nearest}?"),
        None => "; flowstitch --help lists what can be set".into(),
    }
}
