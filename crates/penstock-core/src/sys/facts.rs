//! What is told of a file and of the machine, and what the standard library tells: the same on every system.

/// What the system says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Device (or volume) and inode (or index) name the file for as long as anybody holds it.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// How many names it has: 0 once it was removed.
    pub links: u64,
    /// Its owner.
    pub user: u32,
    /// Its permission bits; on Windows as far as others than its owner may read or write it.
    pub mode: u32,
    /// Its length in bytes.
    pub len: u64,
    /// How many bytes the file system has given it.
    pub committed: u64,
    /// A regular file, and not a directory, link, FIFO, socket or device.
    pub is_regular: bool,
}

/// What does not change while the machine is up.
#[derive(Debug, Clone)]
pub struct Host {
    /// Changes with every start of the machine.
    pub boot_id: [u64; 2],
    /// The pid namespace's inode: pids compare only within one. 0 where there is but one.
    pub pid_namespace: u64,
    /// The system's release or version.
    pub kernel: String,
    /// A thread can sleep on several words at once.
    pub can_sleep_on_many: bool,
}

/// What the machine or the directory's file system has of what is used here; the names are those of Linux' means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a list of yes and no")]
pub struct Features {
    /// Locks that belong to an open file: the signs of life.
    pub ofd_locks: bool,
    /// Sleeping on a word of shared memory.
    pub futex: bool,
    /// Sleeping on several at once.
    pub futex_waitv: bool,
    /// Files that nobody sees until they are complete.
    pub otmpfile: bool,
    /// Nothing of a parent's state is found in its children.
    pub wipe_on_fork: bool,
}

/// This process's number, for people to read; never trusted for liveness on its own.
#[cfg(not(loom))]
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// Milliseconds since 1970.
#[cfg(not(loom))]
#[must_use]
pub fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// How many processors this process may run on.
#[cfg(not(loom))]
#[must_use]
pub fn spin_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
