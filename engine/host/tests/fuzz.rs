//! Mutated files for the loader and generated answers for the border, from a printed seed.
//!
//! Whatever comes: the host neither panics nor stops, an answer that is accepted keeps the contract, and a good plugin
//! beside it goes on. Bounded by counts; `cargo xtask fuzz plugins --minutes N` goes on for as long as one likes.

mod support;

use std::time::{Duration as Time, Instant};

use support::fixture::{Fixture, GOOD};
use support::{batch, settings, state, tight};
use watchfire_host::{Host, LoadError, Source};
use watchfire_model::Timestamp;
use watchfire_plugin::{PluginError, Provider, State};

/// Where a fixture's answers lie, and how much of it is generated.
const ANSWERS_AT: u32 = 256;
const ANSWERS_BYTES: usize = 3_072;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}

/// So many rounds, or as long as the environment says.
struct Rounds {
    left: usize,
    until: Option<Instant>,
    random: Random,
}

impl Rounds {
    #[expect(clippy::disallowed_methods, reason = "long runs are bounded by time, and their seed is printed")]
    fn new(what: &str, count: usize) -> Rounds {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let minutes = number("WATCHFIRE_FUZZ_MINUTES");
        let seed = number("WATCHFIRE_SEED").unwrap_or(1);
        println!("{what}: WATCHFIRE_SEED={seed}");
        let until = minutes.map(|minutes| Instant::now() + Time::from_secs(minutes * 60));
        Rounds { left: count, until, random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1) }
    }

    #[expect(clippy::disallowed_methods, reason = "long runs are bounded by time")]
    fn next(&mut self) -> bool {
        if let Some(until) = self.until {
            return Instant::now() < until;
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

fn mutate(wasm: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = wasm.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let length = random.below(32).min(bytes.len() - at);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.byte(),
            2 => bytes.truncate(at + 1),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let copy = bytes[at..at + length].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            // A length that says too much.
            _ => bytes.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]).for_each(drop),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

fn good_goes_on(host: &Host) {
    let mut condition = host.open_condition("good", "{}").unwrap();
    let outcome = condition.evaluate(&batch(0, &[1.0]), &mut state()).unwrap();
    assert_eq!((outcome.findings.len(), outcome.unknown.len()), (0, 0));
}

/// An answer that is accepted mentions each series at most once and none that is not there; a state keeps its bounds.
fn ask(host: &Host, kind: &str, remembered: &mut State) -> Result<(), PluginError> {
    match kind {
        "condition" => {
            let batch = batch(0, &[1.0, 2.0, 3.0]);
            let outcome = host.open_condition("evil", "{}")?.evaluate(&batch, remembered);
            remembered.rollback();
            let outcome = outcome?;
            let mut mentioned: Vec<u32> = outcome.findings.iter().map(|finding| finding.series).collect();
            mentioned.extend(&outcome.unknown);
            let count = mentioned.len();
            mentioned.sort_unstable();
            mentioned.dedup();
            assert!(mentioned.len() == count && mentioned.iter().all(|series| *series < 3), "{outcome:?}");
            assert!(outcome.findings.iter().all(|finding| finding.summary.len() <= 4_096));
        }
        "router" => {
            let decisions = host.open_router("evil", "{}")?.route(Timestamp::EPOCH, &[])?;
            assert!(decisions.is_empty());
        }
        _ => {
            let group = support::group();
            let message = host.open_formatter("evil", "{}")?.format(&group)?;
            assert!(message.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("authorization")));
        }
    }
    Ok(())
}

#[test]
fn mutated_files_are_refused_or_run_within_their_limits() {
    let mut rounds = Rounds::new("mutated files", 250);
    let host = Host::new(settings()).unwrap();
    host.load("good", Source::Bytes(&GOOD.build())).unwrap();
    let seeds = ["condition", "router", "formatter"].map(|kind| (kind, Fixture { kind, ..GOOD }.build()));
    let (mut loaded, mut refused) = (0, 0);
    while rounds.next() {
        let (kind, seed) = &seeds[rounds.random.below(seeds.len())];
        let bytes = mutate(seed, &mut rounds.random);
        match host.load_limited("evil", Source::Bytes(&bytes), tight(&Fixture { call_ms: 20, open_ms: 50, ..GOOD })) {
            Ok(_) => {
                loaded += 1;
                drop(ask(&host, kind, &mut state()));
            }
            Err(
                LoadError::NotAComponent(_)
                | LoadError::Malformed(_)
                | LoadError::Import(_)
                | LoadError::Contract(_)
                | LoadError::Describe(_)
                | LoadError::Limit { .. },
            ) => refused += 1,
            Err(error) => panic!("unexpected: {error}"),
        }
    }
    good_goes_on(&host);
    println!("{loaded} loaded, {refused} refused");
    assert!(loaded > 0 && refused > 0, "one side of the loader was not tried: {loaded} loaded, {refused} refused");
}

#[test]
fn generated_answers_are_refused_or_keep_the_contract() {
    let mut rounds = Rounds::new("generated answers", 250);
    let host = Host::new(settings()).unwrap();
    host.load("good", Source::Bytes(&GOOD.build())).unwrap();
    let marked = |kind| {
        let filler = "\\aa".repeat(ANSWERS_BYTES);
        let data = format!("(data (i32.const {ANSWERS_AT}) \"{filler}\")");
        let wasm = Fixture { kind, data: Box::leak(data.into_boxed_str()), ..GOOD }.build();
        let at = wasm.windows(ANSWERS_BYTES).position(|window| window.iter().all(|byte| *byte == 0xaa)).unwrap();
        (kind, wasm, at)
    };
    let seeds = ["condition", "router", "formatter"].map(marked);
    let (mut accepted, mut refused) = (0, 0);
    while rounds.next() {
        let random = &mut rounds.random;
        let (kind, wasm, at) = &seeds[random.below(seeds.len())];
        let mut wasm = wasm.clone();
        let answers = &mut wasm[*at..at + ANSWERS_BYTES];
        // `open` gives the handle 0, so that the call itself is reached.
        answers.fill(0);
        let evaluate_at = 512 - ANSWERS_AT as usize;
        for word in answers[evaluate_at..].chunks_exact_mut(4) {
            // Mostly what is plausible: nothing, small counts, places within the memory; sometimes anything.
            let value = match random.below(8) {
                0..=3 => 0,
                4 => random.below(4),
                5 => ANSWERS_AT as usize + random.below(ANSWERS_BYTES),
                6 => random.below(1 << 17),
                _ => random.below(usize::MAX),
            };
            word.copy_from_slice(&value.to_le_bytes()[..4]);
        }
        host.load_limited("evil", Source::Bytes(&wasm), tight(&GOOD)).unwrap();
        match ask(&host, kind, &mut state()) {
            Ok(()) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    good_goes_on(&host);
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}

/// Every import of a condition: its interface, its name, what its words are, and what it answers with. A word is a `s`eries,
/// a `p`lace of bytes, their `n`umber, a `l`evel or the place of the `a`nswer.
const IMPORTS: [(&str, &str, &str, &str); 25] = [
    ("input", "eval-time-ms", "", "(result i64)"),
    ("input", "series-count", "", "(result i32)"),
    ("input", "row-count", "", "(result i32)"),
    ("input", "latest", "a", ""),
    ("input", "latest-le", "a", ""),
    ("input", "series-ids", "a", ""),
    ("input", "series-ids-le", "a", ""),
    ("input", "offsets", "a", ""),
    ("input", "offsets-le", "a", ""),
    ("input", "timestamps", "a", ""),
    ("input", "timestamps-le", "a", ""),
    ("input", "values", "a", ""),
    ("input", "values-le", "a", ""),
    ("input", "series-key", "sa", ""),
    ("input", "label", "spna", ""),
    ("input", "labels", "sa", ""),
    ("input", "label-column", "pna", ""),
    ("input", "event-at", "sa", ""),
    ("input", "event-bodies", "a", ""),
    ("input", "event-column", "pna", ""),
    ("state", "get", "pna", ""),
    ("state", "set", "pnpna", ""),
    ("state", "delete", "pn", ""),
    ("state", "version", "", "(result i32)"),
    ("log", "log", "lpn", ""),
];

/// A condition that calls what a list in its memory says: the number of an import and its words, again and again.
fn caller(calls: usize) -> Vec<u8> {
    const LIST_AT: usize = 57_344;
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    type Import = (&'static str, &'static str, &'static str, &'static str);
    let import = |(number, (interface, name, words, result)): (usize, &Import)| {
        let words = "i32 ".repeat(words.len());
        format!(r#"(import "watchfire:plugin/{interface}@0.2.0" "{name}" (func $f{number} (param {words}) {result}))"#)
    };
    let call = |(number, (_, _, words, result)): (usize, &Import)| {
        let words: String =
            (1..=words.len()).map(|word| format!("(i32.load offset={} (local.get $at))", word * 4)).collect();
        let drop = if result.is_empty() { "" } else { "drop" };
        format!("(if (i32.eq (i32.load (local.get $at)) (i32.const {number})) (then (call $f{number} {words}) {drop}))")
    };
    let all: String = IMPORTS.iter().enumerate().map(call).collect();
    let end = LIST_AT + calls * CALL_BYTES;
    let evaluate = format!(
        "(local $at i32) (local.set $at (i32.const {LIST_AT}))
        (loop $next {all}
            (local.set $at (i32.add (local.get $at) (i32.const {CALL_BYTES})))
            (br_if $next (i32.lt_u (local.get $at) (i32.const {end}))))
        (i32.const 512)"
    );
    let filler = "\\aa".repeat(calls * CALL_BYTES);
    Fixture {
        imports: leak(IMPORTS.iter().enumerate().map(import).collect()),
        evaluate: leak(evaluate),
        data: leak(format!("(data (i32.const {LIST_AT}) \"{filler}\")")),
        ..GOOD
    }
    .build()
}

/// The number of an import and five words.
const CALL_BYTES: usize = 24;

#[test]
fn generated_calls_of_the_host_are_refused_or_keep_the_state_within_its_bounds() {
    const CALLS: usize = 12;
    let mut rounds = Rounds::new("generated calls", 100);
    let host = Host::new(settings()).unwrap();
    host.load("good", Source::Bytes(&GOOD.build())).unwrap();
    let seed = caller(CALLS);
    let marked = |window: &[u8]| window.iter().all(|byte| *byte == 0xaa);
    let at = seed.windows(CALLS * CALL_BYTES).position(marked).unwrap();
    let (mut returned, mut trapped, mut remembered) = (0, 0, state());
    while rounds.next() {
        let random = &mut rounds.random;
        let mut wasm = seed.clone();
        for call in wasm[at..at + CALLS * CALL_BYTES].chunks_exact_mut(CALL_BYTES) {
            let import = random.below(IMPORTS.len());
            let mut words = call.chunks_exact_mut(4);
            let mut word = |value: usize| {
                words.by_ref().take(1).for_each(|word| word.copy_from_slice(&value.to_le_bytes()[..4]));
            };
            word(import);
            for kind in IMPORTS[import].2.bytes() {
                // Mostly what is plausible; there are three series and four levels.
                word(match (random.below(64), kind) {
                    (0, _) => random.below(usize::MAX),
                    (1, _) => random.below(1 << 17),
                    (_, b's' | b'l') => random.below(4),
                    (_, b'p') => 2_048 + random.below(2_048),
                    (2..6, b'n') => random.below(8_192),
                    (_, b'n') => random.below(64),
                    (_, _) => 2_048 + 8 * random.below(256),
                });
            }
        }
        host.load_limited("evil", Source::Bytes(&wasm), tight(&GOOD)).unwrap();
        let batch = batch(0, &[1.0, 2.0, 3.0]);
        let outcome = host.open_condition("evil", "{}").unwrap().evaluate(&batch, &mut remembered);
        match outcome {
            Ok(outcome) => {
                assert_eq!((outcome.findings, outcome.unknown), (vec![], vec![]));
                returned += 1;
            }
            Err(_) => trapped += 1,
        }
        remembered.commit();
        let held: usize = remembered.committed().map(|(key, value)| key.len() + value.len()).sum();
        assert!(held == remembered.bytes() && held <= remembered.limits().total_bytes_max + 64, "{held} bytes");
    }
    good_goes_on(&host);
    println!("{returned} returned, {trapped} trapped, {} bytes remembered", remembered.bytes());
    assert!(returned > 0 && trapped > 0, "{returned} returned, {trapped} trapped");
    assert!(remembered.bytes() > 0, "nothing was ever remembered");
}
