//! What the system says about this process. Sockets and memory are read from /proc, which only Linux has.

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};

/// User and system time of all threads so far.
pub fn cpu_us() -> f64 {
    clock_us(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Of the thread that asks.
pub(super) fn thread_cpu_us() -> f64 {
    clock_us(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn clock_us(clock: ClockId) -> f64 {
    let time = clock_gettime(clock).expect("the clock exists");
    time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3
}

/// User and system time of all children that have ended so far.
pub fn children_cpu_us() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the call exists");
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64
}

pub(super) fn sockets() -> u32 {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let is_socket = |file: std::fs::DirEntry| {
        std::fs::read_link(file.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    files.flatten().map(is_socket).map(u32::from).sum()
}

/// Resident.
pub(super) fn memory_kib() -> f64 {
    status_kib("VmRSS:")
}

/// The most that was ever resident.
pub fn peak_memory_kib() -> f64 {
    status_kib("VmHWM:")
}

fn status_kib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kib| kib.parse().ok())
        .unwrap_or_default()
}

/// One connection per node takes more than the usual 1,024 open files.
pub fn allow_many_sockets() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Refused is as before: whoever then lacks sockets says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
