//! Texts that outlive the process: of each file of rules or templates the versions from which what is in force comes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Versions of a file, the oldest first.
pub type Versions = BTreeMap<String, Vec<String>>;

/// A JSON file that is replaced as a whole.
#[derive(Clone, Debug)]
pub struct Texts {
    path: PathBuf,
}

impl Texts {
    /// The texts in this file, which need not be there yet.
    pub fn new(path: impl Into<PathBuf>) -> Texts {
        Texts { path: path.into() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what was kept; nothing if the file is not there.
    ///
    /// # Errors
    /// If it cannot be read, or is not what [`Texts::keep`] wrote.
    pub fn read(&self) -> io::Result<Versions> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Versions::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces what was kept. A process that dies meanwhile leaves the texts before or these.
    ///
    /// # Errors
    /// If the file system says no; the texts before are still there then.
    pub fn keep(&self, versions: &Versions) -> io::Result<()> {
        let part = self.path.with_extension("part");
        let bytes = serde_json::to_vec(versions).map_err(io::Error::from)?;
        let mut file = File::create(&part)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&part, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_half_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let texts = Texts::new(dir.path().join("rules.json"));
        assert_eq!(texts.read().unwrap(), Versions::new());
        for text in ["groups: []\n", "\u{0}é\"{"] {
            let versions = Versions::from([("/a b/ü.yml".to_owned(), vec![text.to_owned(), String::new()])]);
            texts.keep(&versions).unwrap();
            assert_eq!(texts.read().unwrap(), versions);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let bytes = fs::read(texts.path()).unwrap();
        fs::write(texts.path(), &bytes[..bytes.len() / 2]).unwrap();
        assert!(texts.read().is_err());
    }
}
