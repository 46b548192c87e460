//! Which plugins are trusted, and with what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};
use watchfire_plugin::Limits;

use crate::LoadError;

/// The ending of a signature's file, after the plugin's whole name.
const SIGNATURE_EXTENSION: &str = "minisig";

/// What an operator says about the plugins of a folder. The default trusts whatever lies there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Where it stands, and what it says: the plugins that may be loaded at all.
    pub lock: Option<(PathBuf, Lock)>,
    /// Minisign public keys; where there is one, every plugin needs a signature by one of them.
    pub signers: Vec<String>,
    /// What is said about single plugins, by name.
    pub plugins: BTreeMap<String, PluginPolicy>,
}

/// What an operator says about one plugin. The default says nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginPolicy {
    /// The only version that is loaded, as hexadecimal digits.
    pub digest: Option<String>,
    /// What it may use at most.
    pub limits: Limits,
    /// What it may import; everything that the contract has where this is absent.
    pub grant: Option<BTreeSet<String>>,
}

impl Default for PluginPolicy {
    fn default() -> PluginPolicy {
        PluginPolicy { digest: None, limits: Limits::UNLIMITED, grant: None }
    }
}

/// The content of a lock file: plugins with their digests, in the lines that `sha256sum` writes and checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// SHA-256 as hexadecimal digits, by the plugin's name.
    pub digests: BTreeMap<String, String>,
}

impl Lock {
    /// Reads lines of a digest, two spaces and a path whose last part is `NAME.wasm`; `#` begins a comment.
    ///
    /// # Errors
    /// The line that is something else, or that contradicts one before it.
    pub fn parse(text: &str) -> Result<Lock, String> {
        let mut digests = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parts = line.split_once(char::is_whitespace).and_then(|(digest, path)| {
                let name =
                    Path::new(path.trim().trim_start_matches('*')).file_name()?.to_str()?.strip_suffix(".wasm")?;
                let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_digest.then(|| (name.to_owned(), digest.to_ascii_lowercase()))
            });
            let Some((name, digest)) = parts else {
                return Err(format!("line {}: {line:?} is not a digest, two spaces and NAME.wasm", number + 1));
            };
            if digests.insert(name.clone(), digest.clone()).is_some_and(|other| other != digest) {
                return Err(format!(
                    "line {}: {name:?} stands above with another digest; keep one of the lines",
                    number + 1
                ));
            }
        }
        Ok(Lock { digests })
    }

    /// The text for plugins in a folder, which `sha256sum --check` can read beside the lock file.
    pub fn text(&self, folder: &Path) -> String {
        let mut text =
            String::from("# The plugins that Watchfire may load. `watchfire plugin lock` writes this file.\n");
        for (name, digest) in &self.digests {
            text += &format!("{digest}  {}\n", folder.join(format!("{name}.wasm")).display());
        }
        text
    }
}

impl Policy {
    /// What is said about a plugin.
    pub fn of(&self, name: &str) -> PluginPolicy {
        self.plugins.get(name).cloned().unwrap_or_default()
    }

    /// Whether a file may be loaded under a name at all.
    pub(crate) fn admit(&self, name: &str, digest: &str, path: &Path, wasm: &[u8]) -> Result<(), LoadError> {
        let refuse = |text: String| Err(LoadError::Untrusted(text));
        if let Some(pinned) = self.plugins.get(name).and_then(|plugin| plugin.digest.as_ref())
            && pinned != digest
        {
            return refuse(format!(
                "its digest is sha256:{digest}, and `plugins.settings.{name}.digest` allows only sha256:{pinned}; put \
                 the right file there or change the digest"
            ));
        }
        if let Some((lock, content)) = &self.lock {
            let place = lock.display();
            match content.digests.get(name) {
                Some(locked) if locked == digest => {}
                Some(locked) => {
                    return refuse(format!(
                        "its digest is sha256:{digest}, and {place} has sha256:{locked}; if the new version is meant, \
                         run `watchfire plugin lock`"
                    ));
                }
                None => {
                    return refuse(format!(
                        "it is not in {place}; if it is meant to be there, run `watchfire plugin lock`"
                    ));
                }
            }
        }
        if self.signers.is_empty() { Ok(()) } else { self.check_signature(path, wasm) }
    }

    fn check_signature(&self, path: &Path, wasm: &[u8]) -> Result<(), LoadError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(SIGNATURE_EXTENSION);
        let file = PathBuf::from(name);
        let refuse = |text: String| LoadError::Untrusted(text);
        let text = std::fs::read_to_string(&file).map_err(|error| {
            let shown = file.display();
            refuse(format!("`plugins.signers` asks for a signature, and {shown} cannot be read: {error}; sign it with `minisign -S`"))
        })?;
        let signature = Signature::decode(&text)
            .map_err(|error| refuse(format!("{} is not a minisign signature: {error}", file.display())))?;
        let mut last = String::new();
        for signer in &self.signers {
            let verified = |allows_legacy| {
                PublicKey::from_base64(signer).and_then(|key| key.verify(wasm, &signature, allows_legacy))
            };
            match verified(false) {
                Ok(()) => return Ok(()),
                // Whoever signed it is right, only the way is not.
                Err(_) if verified(true).is_ok() => {
                    return Err(refuse(format!(
                        "{} is a legacy signature, which is not accepted; sign the file again with `minisign -S`, \
                         without `-l`",
                        file.display()
                    )));
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(refuse(format!(
            "{} is not a signature of this file by one of `plugins.signers` ({last}): the file was changed after it was \
             signed, or somebody else signed it; get both anew",
            file.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_told_apart_from_a_legacy_one() {
        let policy = |signer: &str| Policy { signers: vec![signer.to_owned()], ..Policy::default() };
        let (own, other) = (
            "RWTUAu3iX7xc2qqMbRVqO7Racg/SlmlNH/Xpd/Yis9EuCUOExBA7vqyQ",
            "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3",
        );
        let hashed = "untrusted comment: u\n\
            RUTUAu3iX7xc2gprw4e083hxsFXBqvUU3FEpeZU8dAMnl7t76bndfZcPh9zcvj3/f9Kdxefq+Xh0lEjXc1LC6YjFl4TeglbEHQI=\n\
            trusted comment: t\n\
            mUKorMo1OQrq5hDbvERZQE5nniT5vwLYxoj/wLO2dhpzzKHghaF6BlyPdfFqUjH8Qrb0IQY7qr/6cjMh7s2oDg==\n";
        let legacy = "untrusted comment: u\n\
            RWTUAu3iX7xc2rQSP1CUms13o19cDwagHoxiAMaAKUVc/tbyd0KQLcv37EeXflC2efCDp31v5xkkSPBwqogL+KKEnWDjoWpr2gk=\n\
            trusted comment: t\n\
            YYZP4lpgQg+ZRX8H7s/Imo3tKjvoEaXbrscsRLIFDY0/2mi6scAUPJZmfGhfXxXlbb6GtaAdY4cVQ0qK9pl7BA==\n";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        for (signature, signer, wasm, expected) in [
            (hashed, own, "wasm", None),
            (hashed, own, "other", Some("the file was changed after it was signed")),
            (legacy, own, "wasm", Some("is a legacy signature, which is not accepted; sign the file again")),
            (legacy, own, "other", Some("the file was changed after it was signed")),
            (legacy, other, "wasm", Some("somebody else signed it")),
        ] {
            std::fs::write(folder.path().join("a.wasm.minisig"), signature).unwrap();
            let told = policy(signer).admit("a", "", &path, wasm.as_bytes()).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(told, None),
                Some(part) => assert!(told.as_ref().is_some_and(|told| told.contains(part)), "{part}: {told:?}"),
            }
        }
    }

    #[test]
    fn a_lock_file_is_what_sha256sum_writes() {
        let digest = "ab".repeat(32);
        let lock = Lock { digests: BTreeMap::from([("a.b".to_owned(), digest.clone())]) };
        let text = lock.text(Path::new("plugins"));
        assert!(text.ends_with(&format!("\n{digest}  plugins/a.b.wasm\n")), "{text}");
        assert_eq!(Lock::parse(&text), Ok(lock.clone()));
        assert_eq!(Lock::parse(&format!("{digest} *x/a.b.wasm\n\n")), Ok(lock));
        let other = "cd".repeat(32);
        for (line, number) in [
            ("abc  a.wasm", 1),
            ("\n# c\nx", 3),
            (&format!("{digest}  a.txt"), 1),
            (&digest, 1),
            (&format!("{digest}  a.wasm\n{digest}  b/a.wasm\n{other}  a.wasm"), 3),
        ] {
            let error = Lock::parse(line).unwrap_err();
            assert!(error.starts_with(&format!("line {number}: ")), "{error}");
        }
    }
}
