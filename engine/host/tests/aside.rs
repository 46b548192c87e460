//! Plugins that are compiled aside: nobody waits, and each takes over when somebody looks and it is done.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use expect_test::expect;
use support::fixture::{Fixture, GOOD};
use support::{batch, settings, state};
use watchfire_host::{Host, HostSettings, Policy};
use watchfire_plugin::{Provider, ask};

/// Another plugin that does the same.
const OTHER: Fixture = Fixture { extra: "(global i32 (i32.const 1))", ..GOOD };
const MUTE: Fixture = Fixture { describe: "unreachable", ..GOOD };

/// A folder that a host follows, and what tells that something is compiled.
struct Followed {
    folder: tempfile::TempDir,
    host: Host,
    finished: Receiver<()>,
}

impl Followed {
    fn new(cache: Option<&Path>) -> Followed {
        let (finish, finished) = channel();
        let settings = HostSettings { cache_dir: cache.map(Path::to_owned), ..settings() };
        let host = Host::with_compiler(settings, move || finish.send(()).unwrap_or_default()).unwrap();
        Followed { folder: tempfile::tempdir().unwrap(), host, finished }
    }

    fn write(&self, name: &str, fixture: &Fixture) {
        fs::write(self.folder.path().join(name).with_extension("wasm"), fixture.build()).unwrap();
    }

    /// What took over or was refused, and what is compiled.
    fn look(&self) -> (Vec<String>, Vec<String>) {
        let changes =
            self.host.follow_dir(self.folder.path(), &Policy::default(), &BTreeSet::new(), &|_, _| Ok(())).unwrap();
        let told = changes.into_iter().map(|(name, result)| match result {
            Ok(_) => name,
            Err(error) => format!("{name}: {}", error.to_string().split(" (in").next().unwrap_or_default()),
        });
        (told.collect(), self.host.compiling().into_iter().collect())
    }

    fn wait(&self) {
        self.finished.recv().expect("the thread lives");
    }

    /// The error of a call, if it fails.
    fn call(&self, name: &str) -> Option<String> {
        let called =
            self.host.open_condition(name, "{}").and_then(|mut it| ask(it.as_mut(), &batch(0, &[1.0]), &mut state()));
        called.err().map(|error| error.to_string())
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn nobody_waits_for_the_compiler() {
    let followed = Followed::new(None);
    followed.write("evil", &GOOD);
    assert_eq!(followed.look(), (vec![], names(&["evil"])));
    expect![[r#"the plugin "evil" is being compiled; it takes over when that is done"#]]
        .assert_eq(&followed.call("evil").unwrap());
    followed.wait();
    // What is compiled takes over when somebody puts it in use, with everything else that changes.
    assert!(followed.call("evil").is_some());
    assert_eq!(followed.look(), (names(&["evil"]), vec![]));
    assert_eq!(followed.call("evil"), None);
    assert_eq!(followed.look(), (vec![], vec![]));
}

#[test]
fn the_old_version_goes_on_while_the_new_one_is_compiled() {
    let followed = Followed::new(None);
    followed.write("evil", &GOOD);
    followed.look();
    followed.wait();
    followed.look();
    let first = followed.host.info("evil").unwrap();
    followed.write("evil", &OTHER);
    assert_eq!(followed.look(), (vec![], names(&["evil"])));
    assert_eq!((followed.host.info("evil").unwrap(), followed.call("evil")), (first.clone(), None));
    followed.wait();
    assert_eq!(followed.look(), (names(&["evil"]), vec![]));
    assert_ne!(followed.host.info("evil").unwrap().digest, first.digest);
    // Whoever changes his mind finds everything as it was.
    followed.write("evil", &GOOD);
    assert_eq!(followed.look(), (vec![], names(&["evil"])));
    followed.write("evil", &OTHER);
    assert_eq!(followed.look(), (vec![], vec![]));
}

#[test]
fn what_is_refused_is_told_once_it_is_known() {
    let followed = Followed::new(None);
    followed.write("evil", &MUTE);
    followed.write("good", &GOOD);
    let text = followed.folder.path().join("text.wasm");
    fs::write(&text, "no plugin").unwrap();
    let (refused, compiling) = followed.look();
    assert!(refused[0].starts_with("text: this is not WebAssembly"), "{refused:?}");
    assert_eq!(compiling, ["evil", "good"]);
    fs::remove_file(text).unwrap();
    followed.wait();
    followed.wait();
    let told = "evil: `describe` failed: the plugin trapped: wasm `unreachable` instruction executed";
    assert_eq!(followed.look(), (names(&[told, "good"]), vec![]));
    assert_eq!(followed.call("good"), None);
}

/// To find that out may take long, however quickly the machine code is there.
#[test]
fn what_was_refused_is_looked_at_aside_from_then_on() {
    let cache = tempfile::tempdir().unwrap();
    let followed = Followed::new(Some(&cache.path().join("cache")));
    followed.write("evil", &MUTE);
    for _ in 0..2 {
        assert_eq!(followed.look(), (vec![], names(&["evil"])));
        followed.wait();
        let (refused, compiling) = followed.look();
        assert!(refused[0].starts_with("evil: `describe` failed") && compiling.is_empty(), "{refused:?}");
    }
}

#[test]
fn what_a_cache_holds_takes_over_at_once() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("cache");
    let first = Followed::new(Some(&cache));
    first.write("evil", &GOOD);
    assert_eq!(first.look(), (vec![], names(&["evil"])));
    first.wait();
    let second = Followed::new(Some(&cache));
    second.write("evil", &GOOD);
    assert_eq!(second.look(), (names(&["evil"]), vec![]));
}
