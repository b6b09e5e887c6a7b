//! What a run takes of the machine: threads, vector instructions, memory. Chosen once for the
//! whole process, before anything is computed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use model::{Instructions, Model, ModelError, Precision};

use crate::config::Engine;
use crate::exit::UsageError;

/// Overrides `engine.instructions`, for tests and measurements.
const VARIABLE: &str = "PACT_INSTRUCTIONS";

/// Takes threads and instructions as the config says, for the whole process.
pub(crate) fn start(config: &Engine) -> Result<(), UsageError> {
    let threads = threads(config.threads, available())?;
    choose_instructions(&config.instructions)?;
    // Threads do not change within a process: the pool is built here alone.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global()
        .map_err(|error| UsageError(format!("{threads} threads could not be started: {error}")))?;
    Ok(())
}

/// Puts a model where the config says that it computes.
pub(crate) fn place(model: &mut Model, config: &Engine) -> Result<(), ModelError> {
    model.move_to(config.device, &compiled())
}

/// Where kernels that were compiled for this machine's card are kept.
pub(crate) fn compiled() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|it| !it.is_empty());
    let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
    let own = || folder("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = cache.or_else(own).unwrap_or_else(std::env::temp_dir);
    cache.join("pact").join("kernels")
}

/// What [`start`] chose, and what `model` is held in, in a line.
pub(crate) fn chosen(model: &Model) -> Result<String, ModelError> {
    if let Some(card) = model.card()? {
        return Ok(format!("engine: {card}, bf16 weights{}", adapter(model)));
    }
    let threads = rayon::current_num_threads();
    let plural = if threads == 1 { "" } else { "s" };
    let instructions = Instructions::current().name();
    let weights = match model.weights.precision() {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    };
    let adapter = adapter(model);
    Ok(format!(
        "engine: {threads} thread{plural}, {instructions}, {weights} weights{adapter}"
    ))
}

fn adapter(model: &Model) -> String {
    let rank = model.adapter.as_ref().map(|it| it.config.rank);
    rank.map_or(String::new(), |rank| format!(", LoRA of rank {rank}"))
}

/// Threads that this process may run at once.
pub(crate) fn available() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// `asked`, or all for 0.
fn threads(asked: usize, available: usize) -> Result<usize, UsageError> {
    match asked {
        0 => Ok(available),
        asked if asked <= available => Ok(asked),
        asked => Err(UsageError(format!(
            "{asked} threads are asked for, but this machine runs {available} at once\nhint: with \
             `engine.threads = 0` or `--threads 0` all of them are used"
        ))),
    }
}

fn choose_instructions(named: &str) -> Result<(), UsageError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment enters through the binary"
    )]
    let variable = std::env::var(VARIABLE).ok();
    let (source, name) = match &variable {
        Some(name) => (VARIABLE, name.as_str()),
        None => ("engine.instructions", named),
    };
    if name == "auto" {
        return Ok(());
    }
    Instructions::choose(name).map_err(|error| {
        UsageError(format!(
            "`{source}`: {error}\nhint: `auto` takes the best of them"
        ))
    })
}

/// Bytes that this process can still take: what the config allows, else what the card, or the
/// machine and its control group have left. `None` where the system does not say.
pub(crate) fn memory(config: &Engine) -> Result<Option<u64>, ModelError> {
    if config.memory_gib > 0.0 {
        return Ok(Some(bytes(config.memory_gib)));
    }
    if let Some((_, free)) = config.device.look(&compiled())? {
        return Ok(Some(free));
    }
    let both = [machine_memory(), group_memory()];
    Ok(both.into_iter().flatten().min())
}

/// Bytes that keys and values may take, if there is a bound.
pub(crate) fn cache_limit(config: &Engine) -> Option<usize> {
    (config.cache_gib > 0.0).then(|| bytes(config.cache_gib) as usize)
}

fn bytes(gib: f64) -> u64 {
    (gib * f64::from(1 << 30)) as u64
}

fn machine_memory() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// What the control group's limit leaves, of version 2 or 1.
fn group_memory() -> Option<u64> {
    let number = |path: &str| -> Option<u64> {
        fs::read_to_string(Path::new("/sys/fs/cgroup").join(path))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let left = |limit: &str, used: &str| Some(number(limit)?.saturating_sub(number(used)?));
    left("memory.max", "memory.current").or_else(|| {
        left(
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
        )
    })
}

/// The largest memory of this process so far, in bytes, since [`forget_peak`] where the system
/// let it forget. `None` where the system does not say.
pub(crate) fn peak_memory() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Begins [`peak_memory`] anew. A system that does not allow it keeps the peak since the
/// process began, which is never less.
pub(crate) fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// `MemAvailable:  1234 kB` in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(number << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_are_taken_unless_fewer_are_asked_for_and_never_more() {
        assert_eq!(threads(0, 8).expect("all"), 8);
        assert_eq!(threads(3, 8).expect("some"), 3);
        let error = threads(9, 8).expect_err("more than there are");
        assert_eq!(
            error.0,
            "9 threads are asked for, but this machine runs 8 at once\nhint: with \
             `engine.threads = 0` or `--threads 0` all of them are used"
        );
    }

    #[test]
    fn a_line_of_the_kernels_tables_is_read_in_bytes() {
        let text = "VmPeak:\t  10 kB\nVmHWM:\t    2048 kB\nNonsense\n";
        assert_eq!(kibibytes(text, "VmHWM:"), Some(2 << 20));
        assert_eq!(kibibytes(text, "VmRSS:"), None);
    }

    #[test]
    fn a_config_that_names_its_memory_is_believed() {
        let config = Engine {
            memory_gib: 1.5,
            ..Engine::default()
        };
        assert_eq!(memory(&config).expect("nobody is asked"), Some(3 << 29));
    }
}
