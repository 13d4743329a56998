//! What a process used, as the kernel counts it.

use anyhow::Context as _;

/// `USER_HZ`: the unit of CPU time in `/proc`, 100 a second on every Linux that we run on.
const MICROS_PER_TICK: u64 = 10_000;

/// CPU time and resident memory of some processes, all their threads together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    /// User and system time since each began.
    pub(crate) cpu_micros: u64,
    pub(crate) resident_kib: u64,
}

impl Used {
    pub(crate) fn by(pids: &[u32]) -> anyhow::Result<Self> {
        let mut used = Self::default();
        for pid in pids {
            let stat = read(*pid, "stat")?;
            // The name in field 2 may hold spaces and parentheses; the fixed fields start after its last one.
            let fields = stat.rsplit_once(')').context("odd /proc/PID/stat")?.1;
            let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
            let user = ticks.next().context("no utime")??;
            let system = ticks.next().context("no stime")??;
            used.cpu_micros += (user + system) * MICROS_PER_TICK;

            let status = read(*pid, "status")?;
            let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            used.resident_kib += resident.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
        Ok(used)
    }
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}: has the process died?"))
}

/// The value below which `per_mille` of the sorted samples lie.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let index = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}
