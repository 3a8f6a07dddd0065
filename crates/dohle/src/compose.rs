//! From the command line to a broker's settings: the file first, what is said beside it wins.

use std::path::{Path, PathBuf};

use anyhow::Context;
use dohle_broker::{Properties, Settings, parse_properties};

/// What was said of a broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) file: Option<PathBuf>,
    pub(crate) set: Vec<(String, String)>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) listen: Vec<String>,
    pub(crate) http: Option<String>,
    pub(crate) insecure: bool,
}

impl Said {
    /// The settings; an error says which word is wrong and what to write.
    pub(crate) fn settings(self) -> anyhow::Result<Settings> {
        let mut properties = self.file.as_deref().map(read).transpose()?.unwrap_or_default();
        if !self.listen.is_empty() {
            // What the file advertised belongs to what it listened on.
            properties.remove("advertised.listeners");
            properties.insert("listeners".to_owned(), self.listen.join(","));
        }
        let said = [
            ("log.dirs", self.data_dir.map(|dir| dir.display().to_string())),
            ("http.listener", self.http),
            ("insecure", self.insecure.then(|| "true".to_owned())),
        ];
        properties.extend(said.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        properties.extend(self.set);
        Ok(Settings::resolve(properties)?)
    }
}

fn read(file: &Path) -> anyhow::Result<Properties> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(parse_properties(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.properties");
        std::fs::write(&file, "listeners=PLAINTEXT://10.1.2.3:9092\nadvertised.listeners=PLAINTEXT://x:9092\n")
            .unwrap();
        let said = Said { file: Some(file), ..Said::default() };
        assert!(said.clone().settings().unwrap_err().to_string().contains("--insecure"));
        let listen = vec!["PLAINTEXT://127.0.0.1:0".to_owned()];
        assert!(Said { listen, ..said }.settings().is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let said = Said { file: Some("nowhere/server.properties".into()), ..Said::default() };
        assert!(said.settings().unwrap_err().to_string().contains("nowhere/server.properties"));
    }
}
