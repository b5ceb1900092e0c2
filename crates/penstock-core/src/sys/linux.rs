//! Linux: tmpfs files, open-file-description locks, futexes.
//!
//! Over 400 lines because it is the one file that may call the kernel; each section stands alone.

mod features;
mod plain_file;

pub use features::{Features, features};
pub use plain_file::map_plain_file;

use crate::error::{Error, Result};
use crate::fault::Remedy;
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;

/// Where the bytes that carry signs of life start: far past any segment's end, so that they never meet its data.
const PULSE_AT: i64 = 1 << 40;
const PAGE: usize = 4096;

fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn os_error(name: &str, what: &'static str) -> Error {
    Error::Os { name: name.to_owned(), what, errno: last_errno() }
}

/// True for the errors that mean "the file system is full".
#[must_use]
pub fn errno_is_no_space(errno: i32) -> bool {
    errno == libc::ENOSPC || errno == libc::EDQUOT
}

fn c_path(path: &Path) -> CString {
    // A NUL was refused where the name was checked; an empty path fails cleanly in the kernel.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

// ---------------------------------------------------------------------------------------------- this process

/// The words of this process that a forked child must find as zero: MADV_WIPEONFORK does that in the kernel,
/// also for children made by a bare `clone`, for which no handler runs.
struct ProcessPage {
    epoch: AtomicU32,
    lock: AtomicU32,
}

static PAGE_AT: AtomicPtr<ProcessPage> = AtomicPtr::new(ptr::null_mut());
static LAST_EPOCH: AtomicU32 = AtomicU32::new(0);

/// A number that is this process's own along its line of descent; never 0. A forked child has another.
#[inline]
#[must_use]
pub fn epoch() -> u32 {
    let page = PAGE_AT.load(Ordering::Acquire);
    if page.is_null() {
        return new_epoch();
    }
    // SAFETY: a non-null PAGE_AT points to a ProcessPage that is never unmapped.
    let found = unsafe { &*page }.epoch.load(Ordering::Relaxed);
    if found == 0 { new_epoch() } else { found }
}

fn process_page() -> &'static ProcessPage {
    let page = PAGE_AT.load(Ordering::Acquire);
    let page = if page.is_null() { map_process_page() } else { page };
    // SAFETY: as in `epoch`; atomics only, so sharing is sound.
    unsafe { &*page }
}

#[cold]
fn map_process_page() -> *mut ProcessPage {
    // SAFETY: a fresh anonymous mapping, aligned to a page, zeroed: a valid ProcessPage.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(page != libc::MAP_FAILED, "no memory for one page");
    let is_to_be_wiped = Remedy::WipedByTheKernel.is_on() && Remedy::ForgottenAtFork.is_on();
    let advice = if is_to_be_wiped { libc::MADV_WIPEONFORK } else { libc::MADV_NORMAL };
    // SAFETY: the page was mapped just above.
    let wiped = unsafe { libc::madvise(page, PAGE, advice) };
    assert!(wiped == 0, "the kernel is older than 4.14: it cannot wipe a page on fork");
    match PAGE_AT.compare_exchange(ptr::null_mut(), page.cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => page.cast(),
        Err(other) => {
            // SAFETY: our page lost the race and nobody has seen it.
            unsafe { libc::munmap(page, PAGE) };
            other
        }
    }
}

#[cold]
fn new_epoch() -> u32 {
    let page = process_page();
    let next = LAST_EPOCH.load(Ordering::Relaxed).wrapping_add(1).max(1);
    match page.epoch.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            LAST_EPOCH.store(next, Ordering::Relaxed);
            next
        }
        Err(found) => found,
    }
}

/// State of this process that threads share, in a lock that survives `fork`: a handler takes it before the fork
/// and gives it back on both sides, so that a child never inherits a half-changed state or a lock nobody will release.
/// Its word lies in the wiped page, so that a bare `clone` leaves it open too.
pub struct ForkLocked<T> {
    state: UnsafeCell<T>,
}

impl<T> std::fmt::Debug for ForkLocked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForkLocked")
    }
}

// SAFETY: `with` is the only way to the state and lets in one thread at a time.
unsafe impl<T: Send> Sync for ForkLocked<T> {}

impl<T> ForkLocked<T> {
    /// Wraps `state`. There is one lock for the whole process: do not nest `with`.
    pub const fn new(state: T) -> ForkLocked<T> {
        ForkLocked { state: UnsafeCell::new(state) }
    }

    /// Runs `act` alone in this process. Short, and never waits for a peer: a fork waits for it.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        struct Unlock;
        impl Drop for Unlock {
            fn drop(&mut self) {
                fork_unlock();
            }
        }
        watch_forks();
        fork_lock();
        let _unlock = Unlock;
        // SAFETY: the process's fork lock is held; `with` is never nested.
        act(unsafe { &mut *self.state.get() })
    }
}

extern "C" fn fork_lock() {
    let word = &process_page().lock;
    while word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        sleep(word, 1, Duration::from_millis(1));
    }
}

extern "C" fn fork_unlock() {
    let word = &process_page().lock;
    word.store(0, Ordering::Release);
    wake(word, 1);
}

extern "C" fn fork_in_child() {
    // The kernel has wiped it already; an emulator of processes may not have.
    if Remedy::ForgottenAtFork.is_on() {
        process_page().epoch.store(0, Ordering::Relaxed);
    }
    close_fallback_descriptors();
    fork_unlock();
}

fn watch_forks() {
    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        // SAFETY: the handlers only touch atomics, close descriptors and make futex calls.
        unsafe { libc::pthread_atfork(Some(fork_lock), Some(fork_unlock), Some(fork_in_child)) };
    });
}

/// This process's number, for people to read; never trusted for liveness on its own.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// This thread's number within the system. Right in a forked child as well. The kernel is asked once a thread and process.
#[inline]
#[must_use]
pub fn thread_id() -> u32 {
    thread_local!(static KNOWN: Cell<(u32, u32)> = const { Cell::new((0, 0)) });
    let epoch = epoch();
    KNOWN.with(|known| match known.get() {
        (then, id) if then == epoch => id,
        _ => {
            // SAFETY: gettid has no conditions.
            let id = u32::try_from(unsafe { libc::gettid() }).unwrap_or(0);
            known.set((epoch, id));
            id
        }
    })
}

/// The effective user.
#[must_use]
pub fn user_id() -> u32 {
    // SAFETY: geteuid has no conditions.
    unsafe { libc::geteuid() }
}

/// Milliseconds of the monotonic clock, coarse and cheap.
#[must_use]
pub fn now_ms() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut t) };
    t.tv_sec.unsigned_abs() * 1000 + t.tv_nsec.unsigned_abs() / 1_000_000
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// How many processors this process may run on.
#[must_use]
pub fn spin_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What does not change while the machine is up.
#[derive(Debug, Clone)]
pub struct Host {
    /// Changes with every start of the machine.
    pub boot_id: [u64; 2],
    /// The pid namespace's inode: pids compare only within one.
    pub pid_namespace: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel can sleep on several words at once.
    pub can_sleep_on_many: bool,
}

/// Facts about this host, read once.
pub fn host() -> &'static Host {
    static HOST: std::sync::OnceLock<Host> = std::sync::OnceLock::new();
    HOST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let half = |range: std::ops::Range<usize>| {
            digits.get(range).and_then(|d| u64::from_str_radix(d, 16).ok()).unwrap_or(1)
        };
        let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| std::os::unix::fs::MetadataExt::ino(&m));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        Host {
            boot_id: [half(0..16), half(16..32)],
            pid_namespace: namespace,
            kernel,
            can_sleep_on_many: probe_waitv(),
        }
    })
}

/// Dies as if killed from outside.
#[cfg(feature = "crash-points")]
pub fn die() -> ! {
    // SAFETY: SIGKILL to oneself does not return.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::hint::spin_loop();
    }
}

/// Stops until somebody sends SIGCONT.
#[cfg(feature = "crash-points")]
pub fn stop_self() {
    // SAFETY: raising SIGSTOP has no memory effects.
    unsafe { libc::raise(libc::SIGSTOP) };
}

// ---------------------------------------------------------------------------------------------- directories

/// The directory in which names live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(pub PathBuf);

/// `$PENSTOCK_DIR`, else one per user in shared memory.
#[must_use]
pub fn default_directory() -> PathBuf {
    match std::env::var_os("PENSTOCK_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(format!("/dev/shm/penstock-{}", user_id())),
    }
}

/// Makes `path` if it is missing (mode 0700) and refuses one that is not ours or that others may enter.
///
/// # Errors
/// `Untrusted` for a directory of another user, a link, or one open to others; `Os` if it cannot be made.
pub fn check_directory(path: &Path) -> Result<Directory> {
    let name = path.display().to_string();
    let c = c_path(path);
    // SAFETY: `c` is a C string; mkdir has no memory effects.
    if unsafe { libc::mkdir(c.as_ptr(), 0o700) } != 0 && last_errno() != libc::EEXIST {
        return Err(os_error(&name, "making the directory"));
    }
    let facts = lstat(&c).ok_or_else(|| os_error(&name, "looking at the directory"))?;
    let untrusted = |what: String| Err(Error::Untrusted { name: name.clone(), what });
    if facts.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return untrusted("it is not a directory; remove it, or set PENSTOCK_DIR to another".into());
    }
    if facts.st_uid != user_id() {
        return untrusted(format!(
            "it belongs to user {}, not to user {}; set PENSTOCK_DIR to a directory of your own",
            facts.st_uid,
            user_id()
        ));
    }
    if facts.st_mode & 0o077 != 0 {
        return untrusted(format!(
            "its mode is {:o}, so others may enter it; chmod it to 700, or set PENSTOCK_DIR to another",
            facts.st_mode & 0o7777
        ));
    }
    Ok(Directory(path.to_owned()))
}

fn lstat(c: &CStr) -> Option<libc::stat> {
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `c` is a C string and `st` a valid place for the answer.
    (unsafe { libc::lstat(c.as_ptr(), &raw mut st) } == 0).then_some(st)
}

/// Unlinks `path` if it still names the file `facts` were taken of. Returns whether it did.
///
/// # Errors
/// `Os` if the system refuses.
pub fn unlink_if_same(path: &Path, facts: &Facts) -> Result<bool> {
    let c = c_path(path);
    match lstat(&c) {
        Some(st) if st.st_dev == facts.device && st.st_ino == facts.inode => {}
        _ => return Ok(false),
    }
    // SAFETY: `c` is a C string.
    if unsafe { libc::unlink(c.as_ptr()) } == 0 {
        return Ok(true);
    }
    if last_errno() == libc::ENOENT {
        Ok(false)
    } else {
        Err(os_error(&path.display().to_string(), "removing the name"))
    }
}

// ---------------------------------------------------------------------------------------------- files

/// What the kernel says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Device and inode name the file for as long as anybody holds it.
    pub device: u64,
    /// See `device`.
    pub inode: u64,
    /// How many names it has: 0 once it was removed.
    pub links: u64,
    /// Its owner.
    pub user: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Its length in bytes.
    pub len: u64,
    /// How many bytes the file system has given it.
    pub committed: u64,
    /// A regular file, and not a directory, FIFO, socket or device.
    pub is_regular: bool,
}

fn facts_of(st: &libc::stat) -> Facts {
    Facts {
        device: st.st_dev,
        inode: st.st_ino,
        #[allow(clippy::unnecessary_cast, reason = "u32 on aarch64")]
        links: st.st_nlink as u64,
        user: st.st_uid,
        mode: st.st_mode & 0o7777,
        len: st.st_size.unsigned_abs(),
        committed: st.st_blocks.unsigned_abs() * 512,
        is_regular: st.st_mode & libc::S_IFMT == libc::S_IFREG,
    }
}

fn fstat(fd: i32) -> Option<Facts> {
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is a valid place for the answer; a bad descriptor is an error, not a fault.
    (unsafe { libc::fstat(fd, &raw mut st) } == 0).then(|| facts_of(&st))
}

fn open_raw(path: &CStr, flags: i32) -> i32 {
    // SAFETY: `path` is a C string; the mode is ignored without O_CREAT.
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) }
}

fn close_raw(fd: i32) {
    // SAFETY: the caller owns `fd`.
    unsafe { libc::close(fd) };
}

/// An open file of ours. Its descriptor is checked before each use, because a program may have closed it under us
/// (`os.closerange`, a daemon's start) and opened something else at the same number.
#[derive(Debug)]
pub struct File {
    fd: AtomicI32,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl File {
    /// Opens `path` without following a link or waiting for a FIFO.
    ///
    /// # Errors
    /// `NotFound`, `Foreign` for anything but a regular file, `Untrusted` where access is denied, else `Os`.
    pub fn open(name: &str, path: &Path) -> Result<(File, Facts)> {
        let fd = open_raw(&c_path(path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if fd < 0 {
            let foreign = |what: &str| Err(Error::Foreign { name: name.to_owned(), what: what.to_owned() });
            return match last_errno() {
                libc::ENOENT | libc::ENOTDIR => Err(Error::NotFound { name: name.to_owned() }),
                libc::ELOOP => foreign("a symbolic link"),
                libc::EISDIR => foreign("a directory"),
                libc::ENXIO => foreign("a socket or device"),
                libc::EACCES | libc::EPERM => {
                    Err(Error::Untrusted { name: name.to_owned(), what: "this user may not read and write it".into() })
                }
                _ => Err(os_error(name, "opening it")),
            };
        }
        File::from_raw(name, path, fd)
    }

    fn from_raw(name: &str, path: &Path, fd: i32) -> Result<(File, Facts)> {
        let Some(facts) = fstat(fd) else {
            let error = os_error(name, "looking at it");
            close_raw(fd);
            return Err(error);
        };
        let file = File { fd: AtomicI32::new(fd), path: path.to_owned(), device: facts.device, inode: facts.inode };
        if !facts.is_regular {
            return Err(Error::Foreign { name: name.to_owned(), what: "a FIFO, socket or device".into() });
        }
        Ok((file, facts))
    }

    fn is_ours(&self, facts: &Facts) -> bool {
        facts.device == self.device && facts.inode == self.inode
    }

    /// The descriptor, proven to be this file's still; reopened by path if it was closed under us.
    fn checked(&self, name: &str) -> Result<i32> {
        let fd = self.fd.load(Ordering::Acquire);
        if fstat(fd).is_some_and(|facts| self.is_ours(&facts)) || !Remedy::DescriptorsAreChecked.is_on() {
            return Ok(fd);
        }
        let again = open_raw(&c_path(&self.path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if again < 0 || !fstat(again).is_some_and(|facts| self.is_ours(&facts)) {
            if again >= 0 {
                close_raw(again);
            }
            return Err(Error::Removed { name: name.to_owned() });
        }
        // Another thread may have repaired it meanwhile: then its descriptor stays and ours goes.
        if self.fd.compare_exchange(fd, again, Ordering::AcqRel, Ordering::Acquire).is_err() {
            close_raw(again);
            return self.checked(name);
        }
        Ok(again)
    }

    /// The facts as they are now.
    ///
    /// # Errors
    /// `Removed` if the descriptor was closed under us and the name is gone.
    pub fn facts(&self, name: &str) -> Result<Facts> {
        let fd = self.checked(name)?;
        fstat(fd).ok_or_else(|| os_error(name, "looking at it"))
    }

    /// Has the file system give the bytes now, so that a later store cannot be how we find out that it is full.
    ///
    /// # Errors
    /// `NoSpace`, or `Os`. Bytes given so far stay given.
    pub fn commit(&self, name: &str, offset: u64, bytes: u64) -> Result<()> {
        commit_raw(self.checked(name)?, name, offset, bytes)
    }

    /// Another descriptor of the same file with locks of its own.
    fn reopen(&self, name: &str) -> Result<i32> {
        let fd = self.checked(name)?;
        let through_proc = CString::new(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        let mut again = open_raw(&through_proc, libc::O_RDWR | libc::O_NONBLOCK);
        if again < 0 {
            again = open_raw(&c_path(&self.path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        if again < 0 {
            return Err(os_error(name, "opening it a second time"));
        }
        if fstat(again).is_some_and(|facts| self.is_ours(&facts)) {
            return Ok(again);
        }
        close_raw(again);
        Err(Error::Removed { name: name.to_owned() })
    }

    /// True if the path names this very file still.
    #[must_use]
    pub fn is_at_its_path(&self) -> bool {
        lstat(&c_path(&self.path)).is_some_and(|st| self.is_ours(&facts_of(&st)))
    }

    /// Reads up to `out.len()` bytes at the start; returns how many there were.
    ///
    /// # Errors
    /// `Os`.
    pub fn read_start(&self, name: &str, out: &mut [u8]) -> Result<usize> {
        let fd = self.checked(name)?;
        // SAFETY: `out` is valid for writes of its length.
        let n = unsafe { libc::pread(fd, out.as_mut_ptr().cast(), out.len(), 0) };
        usize::try_from(n).map_err(|_| os_error(name, "reading it"))
    }

    /// Maps the first `len` bytes, shared.
    ///
    /// # Errors
    /// `Os` if there is no address space.
    pub fn map(&self, name: &str, len: usize, writable: bool) -> Result<Map> {
        Map::of(self.checked(name)?, name, len, writable)
    }

    /// Refuses a file system on which locks or shared maps do not mean what they must.
    ///
    /// # Errors
    /// `Unsupported`, naming the file system.
    pub fn check_file_system(&self, name: &str) -> Result<()> {
        let fd = self.checked(name)?;
        // SAFETY: all-zero bytes are a valid `statfs` to be written over.
        let mut st: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: `st` is a valid place for the answer.
        if unsafe { libc::fstatfs(fd, &raw mut st) } != 0 {
            return Err(os_error(name, "asking for its file system"));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "the magic is 32 bits; the field's type varies"
        )]
        let kind = st.f_type as u64 as u32;
        if file_system_name(kind).is_some() || !Remedy::KnownFileSystemsOnly.is_on() {
            return Ok(());
        }
        Err(Error::Unsupported {
            name: name.to_owned(),
            what: format!(
                "its file system (type {kind:#x}) is not one on which locks and shared memory are known to hold (tmpfs, ext4, xfs, btrfs, f2fs, overlay); choose another directory"
            ),
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let fd = self.fd.load(Ordering::Acquire);
        // Never close what somebody else has opened at our number meanwhile.
        if fstat(fd).is_some_and(|facts| self.is_ours(&facts)) {
            close_raw(fd);
        }
    }
}

fn commit_raw(fd: i32, name: &str, offset: u64, bytes: u64) -> Result<()> {
    let range = |n: u64| libc::off64_t::try_from(n).map_err(|_| Error::NoSpace { name: name.to_owned(), bytes });
    let (at, len) = (range(offset)?, range(bytes)?);
    if len == 0 || !Remedy::RoomBeforeStores.is_on() {
        return Ok(());
    }
    loop {
        // SAFETY: no memory is passed. The error comes as the result, not through errno.
        match unsafe { libc::posix_fallocate64(fd, at, len) } {
            0 => return Ok(()),
            libc::EINTR => {}
            libc::EFBIG => return Err(Error::NoSpace { name: name.to_owned(), bytes }),
            errno if errno_is_no_space(errno) => return Err(Error::NoSpace { name: name.to_owned(), bytes }),
            errno => return Err(Error::Os { name: name.to_owned(), what: "making room in its file", errno }),
        }
    }
}

/// The file systems on which a segment may lie, by the magic number of `statfs(2)`.
fn file_system_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0102_1994 => "tmpfs",
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0xF2F5_2010 => "f2fs",
        0x794C_7630 => "overlay",
        _ => return None,
    })
}

impl Directory {
    /// Name, free bytes and all bytes of the directory's file system.
    ///
    /// # Errors
    /// `Os` if it cannot be asked.
    pub fn room(&self) -> Result<(String, u64, u64)> {
        let name = self.0.display().to_string();
        // SAFETY: all-zero bytes are a valid `statfs` to be written over.
        let mut st: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: a C string and a valid place for the answer.
        if unsafe { libc::statfs(c_path(&self.0).as_ptr(), &raw mut st) } != 0 {
            return Err(os_error(&name, "asking for its file system"));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "the magic is 32 bits; the field's type varies"
        )]
        let kind = st.f_type as u64 as u32;
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "a block size is positive; the field's type varies"
        )]
        let block = st.f_bsize as u64;
        let known = file_system_name(kind).map_or_else(|| format!("unknown ({kind:#x})"), str::to_owned);
        Ok((known, st.f_bavail * block, st.f_blocks * block))
    }
}

/// How the names of files begin that are being built where the file system has no unnamed ones.
pub const UNFINISHED: &str = ".unfinished-";

/// The number at which who builds such a file has his sign of life; no participant has it.
pub const BUILDER: u32 = 0;

/// A file that is built completely before anybody can see it.
#[derive(Debug)]
pub struct Draft {
    location: PathBuf,
    /// Set where the file system has no unnamed files: the name it has meanwhile.
    temporary: Option<PathBuf>,
}

impl Draft {
    /// Starts a file of `len` bytes beside `path`, none of them committed.
    ///
    /// # Errors
    /// `Untrusted` where the directory cannot be written, `NoSpace`, `Os`.
    pub fn begin(name: &str, path: &Path, len: u64) -> Result<(Draft, File)> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let mut temporary = None;
        let mut fd = open_raw(&c_path(parent), libc::O_RDWR | libc::O_TMPFILE);
        if fd < 0 && matches!(last_errno(), libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) {
            let made_up = parent.join(format!("{UNFINISHED}{}-{}-{}", process_id(), thread_id(), unix_ms()));
            fd = open_raw(&c_path(&made_up), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
            if fd >= 0 {
                try_lock(fd, BUILDER, 1); // says that somebody builds it, for as long as the descriptor is open
            }
            temporary = Some(made_up);
        }
        if fd < 0 {
            return match last_errno() {
                libc::EACCES | libc::EPERM | libc::EROFS => Err(Error::Untrusted {
                    name: name.to_owned(),
                    what: format!("this user may not write in {}", parent.display()),
                }),
                errno if errno_is_no_space(errno) => Err(Error::NoSpace { name: name.to_owned(), bytes: len }),
                _ => Err(os_error(name, "making its file")),
            };
        }
        let draft = Draft { location: path.to_owned(), temporary };
        let (file, _) = File::from_raw(name, path, fd)?;
        let Ok(signed) = libc::off64_t::try_from(len) else {
            return Err(Error::NoSpace { name: name.to_owned(), bytes: len });
        };
        // SAFETY: no memory is passed.
        if unsafe { libc::ftruncate64(fd, signed) } != 0 {
            let errno = last_errno();
            if errno == libc::EFBIG || errno == libc::EINVAL || errno_is_no_space(errno) {
                return Err(Error::NoSpace { name: name.to_owned(), bytes: len });
            }
            return Err(os_error(name, "sizing its file"));
        }
        // The creator's umask must not decide who may attach.
        // SAFETY: no memory is passed.
        if unsafe { libc::fchmod(fd, 0o600) } != 0 {
            return Err(os_error(name, "setting its mode"));
        }
        Ok((draft, file))
    }

    /// Gives the finished file its name, at once and only if the name is free.
    ///
    /// # Errors
    /// `Exists` if somebody was first; `NoSpace`, `Os`.
    pub fn publish(&self, file: &File, name: &str) -> Result<()> {
        let from = match &self.temporary {
            Some(path) => c_path(path),
            None => CString::new(format!("/proc/self/fd/{}", file.checked(name)?)).unwrap_or_default(),
        };
        if !Remedy::NameIsGivenOnce.is_on() {
            let _ = std::fs::remove_file(&self.location);
        }
        // SAFETY: C strings only.
        let linked = unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                from.as_ptr(),
                libc::AT_FDCWD,
                c_path(&self.location).as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        };
        if linked == 0 {
            return Ok(());
        }
        match last_errno() {
            libc::EEXIST => Err(Error::Exists { name: name.to_owned() }),
            errno if errno_is_no_space(errno) => Err(Error::NoSpace { name: name.to_owned(), bytes: 0 }),
            _ => Err(os_error(name, "giving it its name")),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // SAFETY: a C string.
            unsafe { libc::unlink(c_path(temporary).as_ptr()) };
        }
    }
}

// ---------------------------------------------------------------------------------------------- maps

/// The unit in which this kernel maps; `PAGE`, or a multiple of it on some machines.
fn page_bytes() -> usize {
    // SAFETY: sysconf has no conditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(PAGE)
}

/// Where the next map of `len` bytes goes: anywhere.
#[cfg(not(fuzzing))]
fn place_for(_len: usize) -> (*mut libc::c_void, i32) {
    (ptr::null_mut(), 0)
}

/// Where the next map of `len` bytes goes: between two pages that nobody may touch, so that a read or a store outside
/// of it is found out.
#[cfg(fuzzing)]
fn place_for(len: usize) -> (*mut libc::c_void, i32) {
    let whole = len.next_multiple_of(PAGE) + 2 * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping without access, at an address of the kernel's choice.
    let around = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
    assert!(around != libc::MAP_FAILED, "address space for a fuzzer");
    // SAFETY: the second page of what was mapped just above.
    (unsafe { around.byte_add(PAGE) }, libc::MAP_FIXED)
}

/// Bytes shared with others. Nothing here forms a reference to them: what lies above copies, or uses atomics.
#[derive(Debug)]
pub struct Map {
    base: *mut u8,
    len: usize,
}

// SAFETY: the map is plain memory shared between processes anyway; all access goes through atomics or raw copies.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    fn of(fd: i32, name: &str, len: usize, writable: bool) -> Result<Map> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let (place, fixed) = place_for(len);
        // SAFETY: a new mapping at an address of the kernel's choice, or where `place_for` has kept room for it.
        let base = unsafe { libc::mmap(place, len, protection, libc::MAP_SHARED | libc::MAP_NORESERVE | fixed, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(os_error(name, "mapping it"));
        }
        Ok(Map { base: base.cast(), len })
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: an empty map cannot be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the range back to its file and waits for it.
    ///
    /// # Errors
    /// `Os`.
    pub fn flush(&self, name: &str, offset: usize, bytes: usize) -> Result<()> {
        let end = offset.saturating_add(bytes).min(self.len);
        let start = (offset / page_bytes() * page_bytes()).min(end);
        if start == end {
            return Ok(());
        }
        // SAFETY: start..end lies inside the mapping, start on a page.
        if unsafe { libc::msync(self.base.add(start).cast(), end - start, libc::MS_SYNC) } != 0 {
            return Err(os_error(name, "writing it back"));
        }
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and nobody holds a pointer into it past the map's life.
        unsafe { libc::munmap(self.base.cast(), self.len) };
        #[cfg(fuzzing)]
        // SAFETY: the pages around it, mapped in `place_for`.
        unsafe {
            let around: *mut libc::c_void = self.base.sub(PAGE).cast();
            libc::munmap(around, self.len.next_multiple_of(PAGE) + 2 * PAGE);
        }
    }
}

// ---------------------------------------------------------------------------------------------- signs of life

fn byte_lock(fd: i32, command: i32, kind: i32, first: u32, count: u32) -> Option<libc::flock> {
    // SAFETY: all-zero bytes are a valid `flock`; OFD locks demand l_pid 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation, reason = "lock kinds and SEEK_SET are tiny")]
    {
        lock.l_type = kind as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
    }
    lock.l_start = PULSE_AT + i64::from(first);
    lock.l_len = i64::from(count);
    // SAFETY: `lock` is valid for the kernel to read and write.
    (unsafe { libc::fcntl(fd, command, &raw mut lock) } == 0).then_some(lock)
}

/// Takes the bytes, if nobody else's description holds one. `None`: somebody does.
fn try_lock(fd: i32, first: u32, count: u32) -> bool {
    byte_lock(fd, libc::F_OFD_SETLK, libc::F_WRLCK, first, count).is_some()
}

/// `None` if the kernel cannot be asked.
fn is_locked(fd: i32, first: u32, count: u32) -> Option<bool> {
    let unlocked = i32::from(libc::F_UNLCK as i16);
    byte_lock(fd, libc::F_OFD_GETLK, libc::F_WRLCK, first, count).map(|lock| i32::from(lock.l_type) != unlocked)
}

/// A sign of life at a number: the kernel takes it back when this process is gone, however it went.
///
/// It hangs on a mapping of a page of the file that may not be touched and that no child inherits. So nothing that
/// closes descriptors can drop it, and nothing that inherits or receives descriptors can prolong it.
/// On overlay file systems closing the descriptor drops the lock although the mapping stays; there a high
/// descriptor is kept instead, and closed in forked children.
#[derive(Debug)]
pub struct Pulse {
    pin: *mut libc::c_void,
    /// The descriptor kept on overlay file systems, else -1.
    kept: i32,
}

// SAFETY: the pin is never read or written; it is only unmapped.
unsafe impl Send for Pulse {}
// SAFETY: as above.
unsafe impl Sync for Pulse {}

const KEPT_MAX: usize = 256;
static KEPT: [AtomicI32; KEPT_MAX] = [const { AtomicI32::new(-1) }; KEPT_MAX];

fn close_fallback_descriptors() {
    for kept in &KEPT {
        let fd = kept.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            close_raw(fd);
        }
    }
}

impl Pulse {
    /// Takes the sign of life at `number`. `None`: somebody living has it.
    ///
    /// # Errors
    /// `Removed` or `Os`; nothing is held then.
    pub fn take(file: &File, name: &str, number: u32) -> Result<Option<Pulse>> {
        if !Remedy::SignOfLifeOnAMap.is_on() {
            return Pulse::take_by_descriptor(file, name, number);
        }
        let fd = file.reopen(name)?;
        // SAFETY: a new mapping without access; it exists only to keep the description open.
        let pin = unsafe { libc::mmap(ptr::null_mut(), PAGE, libc::PROT_NONE, libc::MAP_SHARED, fd, 0) };
        if pin == libc::MAP_FAILED {
            let error = os_error(name, "mapping its sign of life");
            close_raw(fd);
            return Err(error);
        }
        // SAFETY: `pin` was mapped just above.
        let kept_from_children = unsafe { libc::madvise(pin, PAGE, libc::MADV_DONTFORK) } == 0;
        if !Remedy::MapsAreNotInherited.is_on() {
            // SAFETY: as above.
            unsafe { libc::madvise(pin, PAGE, libc::MADV_DOFORK) };
        }
        let taken = kept_from_children && try_lock(fd, number, 1);
        close_raw(fd);
        let pulse = Pulse { pin, kept: -1 };
        if !kept_from_children {
            return Err(os_error(name, "keeping its sign of life from children"));
        }
        if !taken {
            return Ok(None);
        }
        if is_locked(file.checked(name)?, number, 1) == Some(true) || !Remedy::OverlayIsProbed.is_on() {
            return Ok(Some(pulse));
        }
        drop(pulse);
        Pulse::take_by_descriptor(file, name, number)
    }

    fn take_by_descriptor(file: &File, name: &str, number: u32) -> Result<Option<Pulse>> {
        let low = file.reopen(name)?;
        // SAFETY: no memory is passed.
        let high = unsafe { libc::fcntl(low, libc::F_DUPFD_CLOEXEC, 500) };
        let fd = if high < 0 {
            low
        } else {
            close_raw(low);
            high
        };
        if !try_lock(fd, number, 1) {
            close_raw(fd);
            return Ok(None);
        }
        if !KEPT.iter().any(|kept| kept.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Relaxed).is_ok()) {
            close_raw(fd);
            return Err(Error::Unsupported {
                name: name.to_owned(),
                what: "256 segments on overlay file systems are attached already; put some on tmpfs".into(),
            });
        }
        Ok(Some(Pulse { pin: ptr::null_mut(), kept: fd }))
    }

    /// Whether somebody living holds `number`. Never ask about one's own: compare first.
    /// When the kernel cannot be asked the answer is "alive": nothing is ever taken on a guess.
    #[must_use]
    pub fn is_held(file: &File, name: &str, number: u32) -> bool {
        file.checked(name).ok().and_then(|fd| is_locked(fd, number, 1)).unwrap_or(true)
    }

    /// Whether somebody living holds any of the numbers `1..=count`.
    #[must_use]
    pub fn is_any_held(file: &File, name: &str, count: u32) -> bool {
        file.checked(name).ok().and_then(|fd| is_locked(fd, 1, count)).unwrap_or(true)
    }

    /// Runs `act` while holding the signs `first..first+count` that nobody living holds; `None` if somebody does.
    /// Meanwhile nobody can register there or act on the same death.
    ///
    /// Through a descriptor of its own: the file's is shared with children that were forked before, and should this process be
    /// killed in `act`, they would keep the locks. Call with the process's fork lock held, so that none is forked meanwhile.
    pub fn while_dead<R>(file: &File, name: &str, first: u32, count: u32, act: impl FnOnce() -> R) -> Option<R> {
        struct Own(i32);
        impl Drop for Own {
            fn drop(&mut self) {
                close_raw(self.0);
            }
        }
        if !Remedy::OwnDescription.is_on() {
            let shared = file.checked(name).ok()?;
            return try_lock(shared, first, count).then(|| {
                let done = act();
                byte_lock(shared, libc::F_OFD_SETLK, libc::F_UNLCK, first, count);
                done
            });
        }
        let own = Own(file.reopen(name).ok()?);
        try_lock(own.0, first, count).then(act)
    }

    /// True where the sign hangs on a descriptor, so that another process may be keeping it open.
    #[must_use]
    pub fn is_by_descriptor(&self) -> bool {
        self.kept >= 0
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if !self.pin.is_null() {
            // SAFETY: mapped in `take`, one page, never accessed. A forked child never runs this: it forgets the
            // pulse, because the mapping does not exist there.
            unsafe { libc::munmap(self.pin, PAGE) };
        }
        if self.kept >= 0
            && KEPT.iter().any(|kept| kept.compare_exchange(self.kept, -1, Ordering::AcqRel, Ordering::Relaxed).is_ok())
        {
            close_raw(self.kept);
        }
    }
}

// ---------------------------------------------------------------------------------------------- sleep and wake

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slept {
    /// Woken, or the word had changed already.
    Woken,
    /// The bound passed.
    TimedOut,
    /// A signal arrived.
    Interrupted,
}

fn slept(result: libc::c_long) -> Slept {
    if result >= 0 {
        return Slept::Woken;
    }
    match last_errno() {
        libc::ETIMEDOUT => Slept::TimedOut,
        libc::EINTR => Slept::Interrupted,
        _ => Slept::Woken,
    }
}

fn timespec(d: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: d.subsec_nanos().into(),
    }
}

/// Sleeps while `word` is `expected`, at most for `bound`. The word may lie in shared memory.
pub fn sleep(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    let t = timespec(bound);
    // SAFETY: the word is alive for the call; the kernel only reads it and the time.
    slept(unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const t, ptr::null::<u32>(), 0)
    })
}

/// Wakes at most `count` sleepers of `word`; returns how many there were.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the address only.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            count,
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            0,
        )
    };
    usize::try_from(woken).unwrap_or(0)
}

/// One entry of `futex_waitv(2)`, as the kernel reads it.
#[repr(C)]
struct WaitEntry {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

const WAIT_ENTRY_U32: u32 = 2;

/// The most words that one sleep can watch.
pub const SLEEP_ANY_MAX: usize = 128;

fn waitv(words: &[(&AtomicU32, u32)], bound: Duration) -> libc::c_long {
    let entries: Vec<WaitEntry> = words
        .iter()
        .map(|(word, expected)| WaitEntry {
            value: (*expected).into(),
            address: word.as_ptr() as u64,
            flags: WAIT_ENTRY_U32,
            reserved: 0,
        })
        .collect();
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the time. futex_waitv takes an instant, not a duration.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    let until = timespec(Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0)) + bound);
    // SAFETY: `entries` and `until` live through the call and have the kernel's layout; each word is alive.
    unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            entries.as_ptr(),
            entries.len(),
            0,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    }
}

fn probe_waitv() -> bool {
    let word = AtomicU32::new(1);
    // The value differs, so a kernel that knows the call answers EAGAIN at once.
    waitv(&[(&word, 0)], Duration::ZERO) < 0 && last_errno() != libc::ENOSYS && last_errno() != libc::EPERM
}

/// Sleeps while every word has its expected value, at most for `bound`. On kernels before 5.16, and beyond 128 words,
/// it looks again every millisecond instead.
pub fn sleep_any(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    match words {
        [] => {
            std::thread::sleep(bound);
            Slept::TimedOut
        }
        [(word, expected)] => sleep(word, *expected, bound),
        _ if host().can_sleep_on_many && words.len() <= SLEEP_ANY_MAX => slept(waitv(words, bound)),
        [(word, expected), ..] => match sleep(word, *expected, bound.min(Duration::from_millis(1))) {
            Slept::TimedOut if words.iter().any(|(w, e)| w.load(Ordering::Acquire) != *e) => Slept::Woken,
            ended => ended,
        },
    }
}
