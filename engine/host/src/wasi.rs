//! WASI 0.2 with nothing granted.
//!
//! Standard libraries and interpreters import WASI whether they use it or not. They get an empty environment, no
//! files, no network, a closed input, outputs that end in the log, clocks that stand at the time of the evaluation and
//! random numbers that are a function of it. Nothing here waits: a guest that sleeps goes on at once, because epochs
//! stop a guest only while it runs its own code. That is why this is not wasmtime-wasi.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceDynamic, ResourceType, Val};
use wasmtime::{Result, StoreContextMut};

use crate::context::{Context, Refused};

/// The packages that are there; within them every interface is, and what is not implemented traps when it is called.
const PACKAGES: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];

/// Bytes that may be written or drawn at once.
const CHUNK_BYTES: u64 = 64 << 10;

const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Whether an import is one of these interfaces.
pub(crate) fn offers(import: &str) -> bool {
    let Some((path, version)) = import.strip_prefix("wasi:").and_then(|name| name.split_once('@')) else {
        return false;
    };
    let Some((package, _)) = path.split_once('/') else { return false };
    version.starts_with("0.2.") && PACKAGES.contains(&package)
}

/// Defines what `component` imports of WASI, in exactly the version that it was built with.
pub(crate) fn define(linker: &mut Linker<Context>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(instance) = import.ty else { continue };
        if !offers(name) {
            continue;
        }
        let interface = name.trim_start_matches("wasi:").split('@').next().unwrap_or(name).to_owned();
        let mut target = linker.instance(name)?;
        for (item, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::Resource(_) => {
                    target.resource(item, ResourceType::host_dynamic(resource_tag(item)), |_, _| Ok(()))?;
                }
                ComponentItem::ComponentFunc(_) => define_function(&mut target, &interface, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// A number per name of a resource type: `use`d types are the same type under the same name.
fn resource_tag(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn define_function(target: &mut LinkerInstance<'_, Context>, interface: &str, name: &str) -> Result<()> {
    let call = format!("{interface}.{name}");
    let answer = answer(&call);
    target.func_new(name, move |mut store, _, arguments, results| {
        let value = match answer {
            Some(answer) => {
                let handles = take_handles(&mut store, arguments)?;
                answer(&mut store, Call { handles, arguments })?
            }
            None => return Err(Refused(format!("the plugin called wasi:{call}, which is not offered")).into()),
        };
        if let (Some(slot), Some(value)) = (results.first_mut(), value) {
            *slot = value;
        }
        Ok(())
    })
}

/// Releases the handles that were passed, which the contract of a call demands, and answers what they stood for.
fn take_handles(store: &mut StoreContextMut<'_, Context>, arguments: &[Val]) -> Result<Vec<u32>> {
    let mut handles = Vec::new();
    for argument in arguments {
        let among = if let Val::List(items) = argument { items.as_slice() } else { std::slice::from_ref(argument) };
        for value in among {
            let Val::Resource(resource) = value else { break };
            handles.push(ResourceDynamic::try_from_resource_any(*resource, &mut *store)?.rep());
        }
    }
    Ok(handles)
}

struct Call<'a> {
    /// What the passed handles stand for, in order.
    handles: Vec<u32>,
    arguments: &'a [Val],
}

type Answer = fn(&mut StoreContextMut<'_, Context>, Call<'_>) -> Result<Option<Val>>;

/// What a function answers, or `None` if it is not offered.
fn answer(call: &str) -> Option<Answer> {
    Some(match call {
        "cli/environment.get-environment" | "cli/environment.get-arguments" | "filesystem/preopens.get-directories" => {
            |_, _| Ok(Some(Val::List(Vec::new())))
        }
        "cli/environment.initial-cwd"
        | "cli/terminal-stdin.get-terminal-stdin"
        | "cli/terminal-stdout.get-terminal-stdout"
        | "cli/terminal-stderr.get-terminal-stderr"
        | "filesystem/types.filesystem-error-code" => |_, _| Ok(Some(Val::Option(None))),
        "cli/exit.exit" | "cli/exit.exit-with-code" => {
            |_, _| Err(Refused("the plugin called exit; return an error instead".to_owned()).into())
        }
        "cli/stdin.get-stdin" => |store, _| resource(store, "input-stream", 0),
        "cli/stdout.get-stdout" => |store, _| resource(store, "output-stream", STDOUT),
        "cli/stderr.get-stderr" => |store, _| resource(store, "output-stream", STDERR),
        "sockets/instance-network.instance-network" => |store, _| resource(store, "network", 0),
        "sockets/tcp-create-socket.create-tcp-socket"
        | "sockets/udp-create-socket.create-udp-socket"
        | "sockets/ip-name-lookup.resolve-addresses" => |_, _| Ok(Some(failed(Val::Enum("access-denied".to_owned())))),

        "clocks/wall-clock.now" => |store, _| Ok(Some(datetime(store.data().at.as_millis().max(0)))),
        "clocks/wall-clock.resolution" => |_, _| Ok(Some(datetime(1))),
        "clocks/monotonic-clock.now" => {
            // Never zero: Go takes a clock at zero for a broken one.
            |store, _| Ok(Some(Val::U64(store.data().at.as_millis().max(1).cast_unsigned().saturating_mul(1_000_000))))
        }
        "clocks/monotonic-clock.resolution" => |_, _| Ok(Some(Val::U64(1_000_000))),
        "clocks/monotonic-clock.subscribe-instant"
        | "clocks/monotonic-clock.subscribe-duration"
        | "io/streams.[method]input-stream.subscribe"
        | "io/streams.[method]output-stream.subscribe" => |store, _| resource(store, "pollable", 0),

        "io/poll.poll" => |_, call| Ok(Some(Val::List((0..).map(Val::U32).take(call.handles.len()).collect()))),
        "io/poll.[method]pollable.ready" => |_, _| Ok(Some(Val::Bool(true))),
        "io/poll.[method]pollable.block" => |_, _| Ok(None),
        "io/error.[method]error.to-debug-string" => |_, _| Ok(Some(Val::String("not offered".to_owned()))),
        "io/streams.[method]input-stream.read"
        | "io/streams.[method]input-stream.blocking-read"
        | "io/streams.[method]input-stream.skip"
        | "io/streams.[method]input-stream.blocking-skip"
        | "io/streams.[method]output-stream.splice"
        | "io/streams.[method]output-stream.blocking-splice" => {
            |_, _| Ok(Some(failed(Val::Variant("closed".to_owned(), None))))
        }
        "io/streams.[method]output-stream.check-write" => {
            |_, _| Ok(Some(Val::Result(Ok(Some(Box::new(Val::U64(CHUNK_BYTES)))))))
        }
        "io/streams.[method]output-stream.write" | "io/streams.[method]output-stream.blocking-write-and-flush" => write,
        "io/streams.[method]output-stream.flush"
        | "io/streams.[method]output-stream.blocking-flush"
        | "io/streams.[method]output-stream.write-zeroes"
        | "io/streams.[method]output-stream.blocking-write-zeroes-and-flush" => |_, _| Ok(Some(Val::Result(Ok(None)))),

        "random/random.get-random-bytes" | "random/insecure.get-insecure-random-bytes" => random_bytes,
        "random/random.get-random-u64" | "random/insecure.get-insecure-random-u64" => {
            |store, _| Ok(Some(Val::U64(store.data_mut().next_random())))
        }
        "random/insecure-seed.insecure-seed" => |store, _| {
            let context = store.data_mut();
            Ok(Some(Val::Tuple(vec![Val::U64(context.next_random()), Val::U64(context.next_random())])))
        },
        _ => return None,
    })
}

fn failed(error: Val) -> Val {
    Val::Result(Err(Some(Box::new(error))))
}

fn resource(store: &mut StoreContextMut<'_, Context>, name: &str, rep: u32) -> Result<Option<Val>> {
    let own = ResourceDynamic::new_own(rep, resource_tag(name));
    Ok(Some(Val::Resource(own.try_into_resource_any(store)?)))
}

fn datetime(millis: i64) -> Val {
    let nanoseconds = u32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0);
    Val::Record(vec![
        ("seconds".to_owned(), Val::U64((millis / 1_000).cast_unsigned())),
        ("nanoseconds".to_owned(), Val::U32(nanoseconds)),
    ])
}

/// The lines of standard output are lines of the log; standard error is kept for the message of the trap that usually follows.
fn write(store: &mut StoreContextMut<'_, Context>, call: Call<'_>) -> Result<Option<Val>> {
    if let ([stream], [_, Val::List(bytes), ..]) = (call.handles.as_slice(), call.arguments) {
        let bytes = bytes.iter().filter_map(|byte| if let Val::U8(byte) = byte { Some(*byte) } else { None });
        if *stream == STDERR {
            store.data_mut().stderr.push(bytes);
        } else {
            store.data_mut().print(bytes);
        }
    }
    Ok(Some(Val::Result(Ok(None))))
}

fn random_bytes(store: &mut StoreContextMut<'_, Context>, call: Call<'_>) -> Result<Option<Val>> {
    let Some(Val::U64(length)) = call.arguments.first() else { return Ok(Some(Val::List(Vec::new()))) };
    if *length > CHUNK_BYTES {
        return Err(Refused(format!("the plugin asked for {length} random bytes, the limit is {CHUNK_BYTES}")).into());
    }
    let context = store.data_mut();
    let mut bytes = Vec::with_capacity(usize::try_from(*length)? + 8);
    while (bytes.len() as u64) < *length {
        bytes.extend(context.next_random().to_le_bytes().map(Val::U8));
    }
    bytes.truncate(usize::try_from(*length)?);
    Ok(Some(Val::List(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_listed_packages_of_wasi_0_2_are_offered() {
        for (import, expected) in [
            ("wasi:cli/stdout@0.2.0", true),
            ("wasi:io/streams@0.2.12", true),
            ("wasi:cli/stdout@0.3.0", false),
            ("wasi:http/outgoing-handler@0.2.3", false),
            ("wasi:cli/stdout", false),
            ("wasi:cli@0.2.0", false),
            ("other:cli/stdout@0.2.0", false),
        ] {
            assert_eq!(offers(import), expected, "{import}");
        }
    }

    #[test]
    fn types_that_meet_have_different_tags() {
        let names = ["error", "pollable", "input-stream", "output-stream", "descriptor", "network", "terminal-input"];
        let tags: std::collections::BTreeSet<_> = names.iter().map(|name| resource_tag(name)).collect();
        assert_eq!(tags.len(), names.len());
    }

    #[test]
    fn a_wall_clock_reads_seconds_and_nanoseconds() {
        assert_eq!(
            datetime(1_234),
            Val::Record(vec![("seconds".into(), Val::U64(1)), ("nanoseconds".into(), Val::U32(234_000_000))])
        );
    }
}
