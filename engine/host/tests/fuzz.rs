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
