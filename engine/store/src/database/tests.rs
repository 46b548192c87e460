use std::collections::BTreeMap;

use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use tempfile::TempDir;
use watchfire_alerting::{NotificationId, PluginStateRecord, RecordKey, Silence, SilenceCommand, SilenceId};
use watchfire_delivery::DeliveryRecord;
use watchfire_model::Timestamp;
use watchfire_plugin::StateWrite;

use super::*;
use crate::twin::tests::{any_attempt, any_record};

fn silence(id: &str, comment: &str) -> Record {
    Record::Silence(Silence {
        annotations: BTreeMap::new(),
        id: SilenceId(id.into()),
        matcher_sets: vec![],
        starts_at: Timestamp::EPOCH,
        ends_at: Timestamp::from_secs(60),
        recurrence: None,
        updated_at: Timestamp::EPOCH,
        created_by: "me".to_owned(),
        comment: comment.to_owned(),
    })
}

async fn commit(store: &Store, term: Term, record: Record, done: &[i64]) -> Result<(), StoreError> {
    store.commit_in(term, [(&record.key(), &record)], done).await
}

fn state(rule: u64, key: &str, value: Option<&[u8]>) -> Record {
    let write = StateWrite { key: key.to_owned(), value: value.map(|value| Arc::new(value.to_vec())) };
    Record::PluginState(PluginStateRecord { rule: RuleId(rule), write })
}

/// Runs the same test on every database that is at hand; each call of `reopen` in it opens the same database again.
struct Place {
    settings: StoreSettings,
    _dir: Option<Arc<TempDir>>,
}

impl Place {
    async fn open(&self) -> Store {
        Store::open(self.settings.clone()).await.unwrap()
    }
}

impl Store {
    async fn execute(&self, sqlite: &str, postgres: &str) {
        match &self.backend {
            Backend::Sqlite(database) => database.execute(sqlite).await,
            Backend::Postgres(database) => database.execute(postgres).await,
        }
    }
}

fn run<F: Future<Output = ()>>(test: &str, body: impl Fn(Place) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let dir = Arc::new(TempDir::new().unwrap());
    let settings = StoreSettings::new(Database::File(dir.path().join("watchfire.db")));
    runtime.block_on(body(Place { settings, _dir: Some(dir) }));
    #[expect(clippy::disallowed_methods, reason = "tests find the database server through the environment")]
    let url = std::env::var("WATCHFIRE_TEST_POSTGRES");
    let Ok(url) = url else {
        println!("SKIPPED {test} on PostgreSQL: WATCHFIRE_TEST_POSTGRES is not set");
        return;
    };
    // A schema of its own per test, so that tests run side by side.
    let schema = format!("watchfire_test_{test}_{}", std::process::id());
    let separator = if url.contains('?') { '&' } else { '?' };
    let own = format!("{url}{separator}options=-c%20search_path%3D{schema}");
    runtime.block_on(async {
        let admin = sqlx::PgPool::connect(&url).await.unwrap();
        let make = format!("CREATE SCHEMA {schema}");
        sqlx::query(sqlx::AssertSqlSafe(make)).execute(&admin).await.unwrap();
        body(Place { settings: StoreSettings::new(Database::Postgres(own)), _dir: None }).await;
        let drop = format!("DROP SCHEMA {schema} CASCADE");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&admin).await.unwrap();
    });
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    run("what_was_committed_is_there_after_reopening", |place| async move {
        let store = place.open().await;
        assert_eq!(store.restore().await.unwrap(), Restored::default());
        store.commit(&[]).await.unwrap();
        store.commit(&[silence("a", "1"), silence("b", "1"), silence("a", "2")]).await.unwrap();
        store.commit(&[silence("b", "3"), Record::Deleted(silence("c", "").key())]).await.unwrap();
        store.close().await;
        let store = place.open().await;
        assert_eq!(store.restore().await.unwrap().records, [silence("a", "2"), silence("b", "3")]);
        let delete = Record::Deleted(silence("a", "").key());
        store.commit(&[silence("a", "4"), delete.clone(), silence("b", "5")]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records, [silence("b", "5")]);
        store.commit(&[Record::Deleted(silence("b", "").key()), silence("b", "6")]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records, [silence("b", "6")], "the last one counts");
    });
}

#[test]
fn every_kind_of_record_in_any_number() {
    run("every_kind_of_record_in_any_number", |place| async move {
        let store = place.open().await;
        let mut runner = TestRunner::deterministic();
        let mut expected: BTreeMap<RecordKey, Record> = BTreeMap::new();
        for count in [1, 3, 4, 5, 31, 33, 300, 700] {
            let records: Vec<_> = (0..count).map(|_| any_record().new_tree(&mut runner).unwrap().current()).collect();
            store.commit(&records).await.unwrap();
            expected.extend(records.into_iter().map(|record| (record.key(), record)));
            // And some of them go again, of several kinds at once.
            let gone: Vec<_> = expected.keys().step_by(3).cloned().collect();
            expected.retain(|key, _| !gone.contains(key));
            let gone: Vec<_> = gone.into_iter().map(Record::Deleted).collect();
            store.commit(&gone).await.unwrap();
            let restored = store.restore().await.unwrap();
            assert_eq!(restored.quarantined, []);
            let found: BTreeMap<_, _> = restored.records.into_iter().map(|record| (record.key(), record)).collect();
            assert_eq!(found, expected);
        }
    });
}

#[test]
fn plugin_state_is_kept_per_rule() {
    run("plugin_state_is_kept_per_rule", |place| async move {
        let store = place.open().await;
        let zero: &[u8] = &[0, 255, 0];
        store
            .commit(&[
                state(1, "a", Some(b"1")),
                state(1, "b/c", Some(zero)),
                state(1, "", Some(b"")),
                state(2, "a", Some(b"2")),
            ])
            .await
            .unwrap();
        let one = store.plugin_state(RuleId(1)).await.unwrap();
        assert_eq!(
            one.iter().map(|(k, v)| (k.as_str(), v.as_slice())).collect::<Vec<_>>(),
            [("", &b""[..]), ("a", b"1"), ("b/c", zero)]
        );
        store.commit(&[state(1, "a", None)]).await.unwrap();
        assert_eq!(store.plugin_state(RuleId(1)).await.unwrap().len(), 2);
        assert_eq!(store.plugin_state(RuleId(2)).await.unwrap().len(), 1);
        assert_eq!(store.plugin_state(RuleId(3)).await.unwrap().len(), 0);
    });
}

#[test]
fn a_row_that_cannot_be_read_is_put_into_quarantine_and_comes_back() {
    run("quarantine", |place| async move {
        let store = place.open().await;
        store.commit(&[silence("a", "1"), silence("b", "1"), silence("c", "1")]).await.unwrap();
        store
            .execute(
                "UPDATE records SET version = 7 WHERE key = 'a'",
                r"UPDATE records SET version = 7 WHERE key = '\x61'",
            )
            .await;
        store
            .execute(
                "UPDATE records SET body = x'7b' WHERE key = 'b'",
                r"UPDATE records SET body = '\x7b' WHERE key = '\x62'",
            )
            .await;
        // An engine that does not decide, perhaps of another version than the one that does, leaves all where it is.
        let looked = store.look().await.unwrap();
        store.execute("UPDATE records SET version = 1", "UPDATE records SET version = 1").await;
        assert_eq!(store.look().await.unwrap().records, [silence("a", "1"), silence("c", "1")]);
        store
            .execute(
                "UPDATE records SET version = 7 WHERE key = 'a'",
                r"UPDATE records SET version = 7 WHERE key = '\x61'",
            )
            .await;
        let restored = store.restore().await.unwrap();
        assert_eq!(restored, looked);
        assert_eq!(restored.records, [silence("c", "1")]);
        let reasons: Vec<_> = restored.quarantined.iter().map(|row| (row.key.as_str(), row.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                ("a", "version 7 of \"silence\" is not known; it may come from a newer Watchfire"),
                ("b", "EOF while parsing an object at line 1 column 1"),
            ]
        );
        // It stays there and stays reported.
        assert_eq!(store.restore().await.unwrap(), restored);
        // A version that can read it takes it out again; a key that was written since keeps what was written.
        store.execute("UPDATE quarantined_records SET version = 1", "UPDATE quarantined_records SET version = 1").await;
        store.commit(&[silence("b", "new")]).await.unwrap();
        let restored = store.restore().await.unwrap();
        assert_eq!(restored.records, [silence("a", "1"), silence("b", "new"), silence("c", "1")]);
        assert_eq!(restored.quarantined, []);
        assert_eq!(store.restore().await.unwrap(), restored);
    });
}

/// What the first version wrote about a group: its keys held what they name in full, and what a receiver knew was kept
/// apart from what was on its way to it.
const FORMER_ROWS: [(&str, &str, &str); 3] = [
    (
        "group",
        "00000000000a/r:{}",
        r#"{"since":10,"key":"r:{}","route":"r","receiver":"ops","routed_by_plugin":false,"labels":{"a":"1"},"created_at":10,"next_flush":20,"flushed":true,"changed":false}"#,
    ),
    (
        "log",
        "00000000000a/r:{} \"ops\" slack[0]",
        r#"{"since":10,"target":{"group":"r:{}","receiver":"ops","kind":"slack","ordinal":0},"firing":[7],"resolved":[],"owed":[7],"notified_at":5,"sequence":2,"receipt":"ok","refused":null}"#,
    ),
    (
        "outbox",
        "00000000000a/r:{} \"ops\" slack[0]",
        r#"{"since":10,"target":{"group":"r:{}","receiver":"ops","kind":"slack","ordinal":0},"id":"0000000000000000000000000000002a","route":"r","group_labels":{},"reason":"first_notification","alerts":[],"created_at":11,"attempt":1,"failures":0,"failing_since":null,"next_attempt":12,"error":"","owed_before":[]}"#,
    ),
];

#[test]
fn rows_are_moved_to_where_they_are_kept_by_now() {
    run("rows_are_moved", |place| async move {
        let store = place.open().await;
        for (kind, key, body) in FORMER_ROWS {
            let sqlite = format!("INSERT INTO records VALUES ('{kind}', '{key}', 1, CAST('{body}' AS BLOB))");
            let values = format!("'{kind}', convert_to('{key}', 'UTF8'), 1, convert_to('{body}', 'UTF8')");
            store.execute(&sqlite, &format!("INSERT INTO records VALUES ({values})")).await;
        }
        let restored = store.restore().await.unwrap();
        assert_eq!(restored.quarantined, []);
        let [Record::Group(group), Record::Target(target)] = &restored.records[..] else {
            panic!("{:?}", restored.records)
        };
        assert_eq!(group.key, target.target.group);
        let pending = target.pending.as_ref().unwrap();
        assert_eq!((pending.id, pending.may_be_known), (NotificationId(42), true));
        assert_eq!((target.entry.sequence, &*target.entry.receipt), (3, "ok"));
        assert_eq!(store.restore().await.unwrap(), restored);
        // What was kept elsewhere before does not come back.
        store.commit(&[Record::Deleted(restored.records[1].key())]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records, restored.records[..1]);
    });
}

#[test]
fn a_failed_commit_leaves_nothing() {
    run("a_failed_commit_leaves_nothing", |place| async move {
        let store = place.open().await;
        store.commit(&[silence("a", "1")]).await.unwrap();
        store
            .execute(
                "CREATE TRIGGER full BEFORE INSERT ON records WHEN new.key = 'z' BEGIN SELECT RAISE(ABORT, 'no room'); END",
                r"ALTER TABLE records ADD CHECK (key <> '\x7a')",
            )
            .await;
        let many: Vec<_> = (0..300).map(|i| silence(&i.to_string(), "2")).chain([silence("z", "2")]).collect();
        let error = store.commit(&many).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot write to the database: "), "{error}");
        assert_eq!(store.restore().await.unwrap().records, [silence("a", "1")]);
        store.commit(&many[..300]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records.len(), 301);
    });
}

#[test]
fn a_newer_schema_is_left_alone() {
    run("a_newer_schema_is_left_alone", |place| async move {
        let store = place.open().await;
        store.execute("PRAGMA user_version = 99", "UPDATE watchfire_schema SET version = 99").await;
        store.close().await;
        let error = Store::open(place.settings.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
    });
}

#[test]
fn a_locked_database_is_a_matter_of_time() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("watchfire.db");
        let settings = StoreSettings { busy_timeout: Duration::ZERO, ..StoreSettings::new(Database::File(path)) };
        let store = Store::open(settings.clone()).await.unwrap();
        let other = Store::open(settings).await.unwrap();
        let Backend::Sqlite(Sqlite { .. }) = &other.backend else { panic!("not SQLite") };
        other.execute("BEGIN IMMEDIATE", "").await;
        let error = store.commit(&[silence("a", "1")]).await.unwrap_err();
        assert!(error.to_string().contains("locked"), "{error}");
        other.execute("ROLLBACK", "").await;
        store.commit(&[silence("a", "1")]).await.unwrap();
    });
}

#[test]
fn the_configurations_text_names_the_database() {
    let table = [
        ("watchfire.db", Some(Database::File("watchfire.db".into()))),
        ("/var/lib/x.db", Some(Database::File("/var/lib/x.db".into()))),
        ("sqlite:///var/lib/x.db", Some(Database::File("/var/lib/x.db".into()))),
        (":memory:", Some(Database::Memory)),
        ("postgres://u:secret@h/d", Some(Database::Postgres("postgres://u:secret@h/d".to_owned()))),
        ("mysql://h/d", None),
    ];
    for (text, expected) in table {
        let settings = StoreSettings::parse(text);
        assert_eq!(settings.as_ref().ok().map(|settings| settings.database.clone()), expected, "{text}");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}

#[test]
fn a_database_in_memory_works_without_a_file() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(StoreSettings::new(Database::Memory)).await.unwrap();
        store.commit(&[silence("a", "1")]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records.len(), 1);
    });
}

#[test]
fn tables_of_an_older_version_are_brought_up_to_date_with_what_is_in_them() {
    run("tables_of_an_older_version", |place| async move {
        let store = place.open().await;
        store.commit(&[silence("a", "1")]).await.unwrap();
        store.execute("SELECT 1", "DROP TABLE lease").await;
        store.execute("SELECT 1", "DROP TABLE requests").await;
        store.execute("DROP TABLE attempts", "DROP TABLE attempts").await;
        store.execute("PRAGMA user_version = 1", "UPDATE watchfire_schema SET version = 1").await;
        store.close().await;
        for _ in 0..2 {
            let store = place.open().await;
            assert_eq!(store.restore().await.unwrap().records, [silence("a", "1")]);
            assert_eq!(store.attempts(0).await.unwrap(), []);
            assert!(matches!(store.claim("x", Wish::Start, HOUR).await.unwrap(), Claim::Held(_)));
            store.close().await;
        }
    });
}

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn who_lost_the_lease_writes_nothing_and_requests_are_done_with_their_consequences() {
    run("who_lost_the_lease_writes_nothing", |place| async move {
        let (first, second) = (place.open().await, place.open().await);
        if !first.can_be_shared() {
            assert_eq!(first.claim("first", Wish::Start, HOUR).await.unwrap(), Claim::Held(Term::ALONE));
            return;
        }
        let held = |claim| if let Claim::Held(term) = claim { term } else { panic!("{claim:?}") };
        let taken = |claim| assert!(matches!(claim, Claim::Taken { .. }), "{claim:?}");
        let old = held(first.claim("first", Wish::Start, HOUR).await.unwrap());
        assert_eq!(held(first.claim("first", Wish::Keep(old), HOUR).await.unwrap()), old);
        taken(second.claim("second", Wish::Start, HOUR).await.unwrap());
        taken(second.claim("second", Wish::Take, HOUR).await.unwrap());
        commit(&first, old, silence("a", "1"), &[]).await.unwrap();
        first.release(old).await.unwrap();
        let new = held(second.claim("second", Wish::Take, HOUR).await.unwrap());
        assert!(new > old);
        taken(first.claim("first", Wish::Keep(old), HOUR).await.unwrap());
        let refused = commit(&first, old, silence("a", "2"), &[]).await.unwrap_err();
        assert!(matches!(refused, StoreError::TermOver), "{refused}");
        let asked = Input::Silence(SilenceCommand::Adopt(vec![]));
        first.request(&[asked.clone(), Input::Tick]).await.unwrap_err();
        first.request(&[asked]).await.unwrap();
        let requests = second.requests().await.unwrap();
        assert_eq!((requests.inputs.len(), requests.unreadable.len()), (1, 0));
        commit(&second, new, silence("b", "1"), &[requests.inputs[0].0]).await.unwrap();
        assert_eq!(second.requests().await.unwrap().inputs.len(), 0);
        assert_eq!(second.restore().await.unwrap().records, [silence("a", "1"), silence("b", "1")]);
        // Started again, it has its own lease at once, in a new term.
        assert!(held(second.claim("second", Wish::Start, HOUR).await.unwrap()) > new);
    });
}

#[test]
fn attempts_are_kept_until_they_are_forgotten() {
    run("attempts_are_kept_until_they_are_forgotten", |place| async move {
        let mut runner = TestRunner::deterministic();
        let attempts: Vec<_> = (1..=700)
            .map(|number| {
                let attempt = any_attempt().new_tree(&mut runner).unwrap().current();
                Arc::new(DeliveryRecord { number, ..attempt })
            })
            .collect();
        let store = place.open().await;
        store.keep_attempts(&[], &[]).await.unwrap();
        store.keep_attempts(&attempts[..500], &[]).await.unwrap();
        store.keep_attempts(&attempts[400..], &(1..=100).collect::<Vec<_>>()).await.unwrap();
        store.close().await;
        let store = place.open().await;
        let expected: Vec<DeliveryRecord> = attempts[100..].iter().map(|one| (**one).clone()).collect();
        assert_eq!(store.attempts(0).await.unwrap(), expected);
        assert_eq!(store.attempts(600).await.unwrap(), expected[500..]);
        assert_eq!(store.restore().await.unwrap(), Restored::default(), "the state machine has no part in them");
        let broken = "UPDATE attempts SET body = 'x' WHERE number = 700";
        store.execute(broken, broken).await;
        assert_eq!(store.attempts(0).await.unwrap(), expected[..599], "what cannot be read is passed over");
    });
}

#[test]
fn a_disk_that_was_full_takes_writes_again() {
    run("a_disk_that_was_full", |place| async move {
        let store = place.open().await;
        if store.can_be_shared() {
            return;
        }
        let large = |id: usize| silence(&format!("large{id}"), &"x".repeat(50_000));
        store.commit(&[silence("a", "1")]).await.unwrap();
        store.execute("PRAGMA max_page_count = 30", "SELECT 1").await;
        let full = store.commit(&(0..20).map(large).collect::<Vec<_>>()).await.unwrap_err();
        assert!(full.to_string().contains("full"), "{full}");
        store.commit(&[silence("b", "1")]).await.unwrap();
        let attempt = any_attempt().new_tree(&mut TestRunner::deterministic()).unwrap().current();
        store.keep_attempts(&[Arc::new(attempt)], &[]).await.unwrap();
        store.commit(&[large(1)]).await.unwrap();
        assert_eq!(store.restore().await.unwrap().records, [silence("a", "1"), silence("b", "1"), large(1)]);
    });
}
