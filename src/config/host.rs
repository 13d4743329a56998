//! What reading needs to know of the machine.

use std::fs;

/// What reading needs to know of the machine, so that tests can say something else.
pub trait Host {
    /// An environment variable.
    fn var(&self, name: &str) -> Option<String>;
    /// Bytes of memory that this process may use.
    fn memory(&self) -> u64;
}

/// The machine we run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Host for ThisHost {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn memory(&self) -> u64 {
        // A container's own limit where there is one, else what the kernel has.
        let container =
            fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
        let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total(&text));
        match (container, machine) {
            (Some(container), Some(machine)) => machine.min(container),
            (Some(known), None) | (None, Some(known)) => known,
            (None, None) => FALLBACK_MEMORY,
        }
    }
}

/// Where the kernel does not say: small enough to be true of any server.
const FALLBACK_MEMORY: u64 = 2 << 30;

fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        assert_eq!(mem_total("MemTotal:       16303428 kB\nMemFree: 1 kB\n"), Some(16_303_428 * 1024));
        assert_eq!(mem_total("nothing here"), None);
    }

    #[test]
    fn this_machine_has_some_memory() {
        assert!(ThisHost.memory() >= 64 << 20);
    }
}
