//! Watching files: a saved rule, template, plugin or configuration is live within a second.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long the files must be quiet before they are read: editors write a file in several steps, and a checkout or a
/// mounted configuration map changes many at once.
const QUIET: Duration = Duration::from_millis(120);

/// Even if files never stop changing, they are read this often.
const LONGEST_WAIT: Duration = Duration::from_millis(800);

/// Watches folders and says when something in them has changed and settled.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    /// Each folder with the device and the number that it had when its watch was set: another folder under the same
    /// name needs a watch of its own.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Watches nothing yet. Without support from the operating system it never reports anything, and says so once.
    pub(crate) fn new() -> Watch {
        // One pending change says as much as a thousand, so that a flood of events costs nothing.
        let (sender, changes) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let relevant = match &event {
                Ok(event) => !event.kind.is_access(),
                // An overflow of the queue means that events were lost: look again.
                Err(_) => true,
            };
            if relevant {
                // A full channel already holds the news.
                let _full = sender.try_send(());
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::error!(%error, "files cannot be watched; reload with SIGHUP or POST /-/reload"),
            )
            .ok();
        Watch { watcher, folders: BTreeMap::new(), changes }
    }

    /// Watches exactly these folders from now on. A folder that does not exist is reported and tried again next time.
    pub(crate) fn set_folders(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut watched = BTreeMap::new();
        for folder in &wanted {
            let identity = std::fs::metadata(folder).ok().map(|folder| (folder.dev(), folder.ino()));
            if let (Some(known), Some(identity)) = (self.folders.get(folder), identity)
                && *known == identity
            {
                watched.insert(folder.clone(), identity);
            }
        }
        for gone in self.folders.keys().filter(|folder| !watched.contains_key(*folder)) {
            // The folder may be deleted already, in which case its watch is gone as well.
            drop(watcher.unwatch(gone));
        }
        for folder in wanted {
            if watched.contains_key(&folder) {
                continue;
            }
            let set = watcher.watch(&folder, RecursiveMode::NonRecursive);
            // Read after the watch was set: what came to its place meanwhile has another identity than the next look finds.
            match set.and_then(|()| std::fs::metadata(&folder).map_err(notify::Error::io)) {
                Ok(found) => drop(watched.insert(folder, (found.dev(), found.ino()))),
                Err(error) => tracing::warn!(folder = %folder.display(), %error, "cannot watch this folder"),
            }
        }
        self.folders = watched;
    }

    /// Waits until something has changed. Who gives the wait up loses nothing: what was not told is told next time.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the files have been quiet for a moment. Who gives the wait up looks at the files, since what it heard
    /// of is not told again.
    pub(crate) async fn settled(&mut self) {
        let settle = async {
            while tokio::time::timeout(QUIET, self.changes.recv()).await.is_ok_and(|change| change.is_some()) {}
        };
        // Running out of patience is as good as quiet.
        drop(tokio::time::timeout(LONGEST_WAIT, settle).await);
    }
}

/// The folder that must be watched to see changes of `path`, which may be a file or a glob.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    let mut folder = PathBuf::new();
    for part in path.parent().unwrap_or(Path::new(".")).components() {
        if part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']) {
            break;
        }
        folder.push(part);
    }
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_however_short_somebody_waits() {
        let (sender, changes) = mpsc::channel(1);
        let mut watch = Watch { watcher: None, folders: BTreeMap::new(), changes };
        sender.try_send(()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::ZERO, watch.changed()).await.expect("it is told at once");
            tokio::time::timeout(Duration::ZERO, watch.changed()).await.expect_err("it is told once");
        });
    }

    #[test]
    fn the_folder_of_a_glob_ends_before_its_first_wildcard() {
        for (path, folder) in [
            ("/etc/watchfire/rules/*.yml", "/etc/watchfire/rules"),
            ("/etc/watchfire/*/a.yml", "/etc/watchfire"),
            ("watchfire.yml", "."),
            ("rules/a.yml", "rules"),
        ] {
            assert_eq!(folder_of(Path::new(path)), Path::new(folder));
        }
    }
}
