//! The system as models have it: files in memory, signs of life, sleeping and waking, all of which loom watches.
//!
//! What a real kernel does under locks of its own is one step here, or happens under a lock that loom knows. A thread
//! plays a process (`atomic::model`). When one dies, its signs of life go after its last store, as in a kernel.
//!
//! No sleep ends without a cause, so that a wake-up that is lost is found: nobody can run any more, and loom says so.
//! Causes are a wake-up; a deadline, for those who are impatient; and, once somebody has died, the bound of the sleep.
//! It passes at any moment, at the latest when nobody else can run.

use super::{Facts, Host, Slept};
use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use crate::atomic::model::{self as words, Doom, Process};
use crate::deadline::model as clock;
use crate::error::{Error, Result};
use crate::layout::{PAGE, PARTICIPANTS};
use crate::sys::Backing;
use std::alloc::Layout;
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Processes beside the one that checks.
pub const PROCESSES: usize = 4;
/// After so many bounds in the sleeps of one process, one order is tried of what follows, the fair one: else two sleepers
/// could look in turn for ever while a third does not get to run.
const BOUNDS_EXPLORED: u32 = 4;
/// After so many more, it is stuck.
const BOUNDS_MOST: u32 = 20;

/// One that sleeps.
struct Sleeper {
    number: u32,
    words: Vec<usize>,
    thread: loom::thread::Thread,
    ended: Option<Slept>,
}

/// What one execution needs of the system, and is made anew for each.
struct Kernel {
    sleepers: loom::sync::Mutex<Vec<Sleeper>>,
    /// Each process's lock on its own state.
    own: Vec<loom::sync::Mutex<()>>,
    impatient: Vec<Process>,
    has_died: Cell<bool>,
    next_number: Cell<u32>,
    bounds_passed: RefCell<[u32; PROCESSES + 1]>,
}

thread_local! {
    static KERNEL: RefCell<Option<Rc<Kernel>>> = const { RefCell::new(None) };
    static NAMES: RefCell<BTreeMap<PathBuf, Arc<Inode>>> = const { RefCell::new(BTreeMap::new()) };
    static INODES: RefCell<Vec<Weak<Inode>>> = const { RefCell::new(Vec::new()) };
}

fn kernel() -> Rc<Kernel> {
    KERNEL.with(|kernel| kernel.borrow().clone()).expect("a model has begun")
}

/// Begins a model: what lies in a file when it first does so, lies there at the beginning of each execution.
pub fn keep() {
    for inode in inodes().into_iter().filter(|inode| inode.kept.borrow().is_empty()) {
        // SAFETY: the bytes are alive, and nobody writes them now.
        let bytes = unsafe { std::slice::from_raw_parts(inode.bytes, inode.len) }.to_vec();
        inode.kept.replace(bytes);
    }
}

fn inodes() -> Vec<Arc<Inode>> {
    INODES.with(|inodes| inodes.borrow().iter().filter_map(Weak::upgrade).collect())
}

/// Begins an execution: the first thing in it.
pub fn begin(doom: Option<Doom>, impatient: &[Process]) {
    for inode in inodes() {
        let kept = inode.kept.borrow();
        // SAFETY: at most as many bytes as there are. Words do not change by it: their twins do in an execution.
        unsafe { std::ptr::copy_nonoverlapping(kept.as_ptr(), inode.bytes, kept.len()) };
    }
    clock::begin();
    let kernel = Kernel {
        sleepers: loom::sync::Mutex::new(Vec::new()),
        own: (0..=PROCESSES).map(|_| loom::sync::Mutex::new(())).collect(),
        impatient: impatient.to_vec(),
        has_died: Cell::new(false),
        next_number: Cell::new(0),
        bounds_passed: RefCell::new([0; PROCESSES + 1]),
    };
    KERNEL.set(Some(Rc::new(kernel)));
    words::begin(doom, last_rites);
}

/// Runs `act` before a model begins, as a process that dies in it or right afterwards. True if it died in it.
pub fn dies_before(doom: Doom, act: impl FnOnce()) -> bool {
    words::dies_acting_as(doom, last_rites, act)
}

/// Ends an execution. Returns whether somebody died in it.
pub fn end() -> bool {
    KERNEL.set(None);
    words::end()
}

/// What the kernel does for a process that has made its last step.
fn last_rites(process: Process) {
    for pulse in inodes().iter().flat_map(|inode| &inode.pulses) {
        if pulse.load(Relaxed) == mark_of(process) {
            pulse.swap(0, AcqRel);
        }
    }
    if !words::is_running() {
        return; // it dies while things are made ready, and nobody sleeps
    }
    let kernel = kernel();
    let mut sleepers = kernel.sleepers.lock().expect("nobody panics in here");
    kernel.has_died.set(true);
    for sleeper in sleepers.iter_mut().filter(|sleeper| sleeper.ended.is_none()) {
        sleeper.ended = Some(Slept::TimedOut);
        sleeper.thread.unpark();
    }
}

// ---------------------------------------------------------------------------------------------- sleep and wake

impl Kernel {
    fn can_bound_pass(&self) -> bool {
        self.has_died.get() || self.impatient.contains(&words::process())
    }

    /// Falls asleep unless a word has changed. Looking and falling asleep are one step for those who wake.
    fn fall_asleep(&self, words: &[(&AtomicU32, u32)]) -> Option<u32> {
        let mut sleepers = self.sleepers.lock().expect("nobody panics in here");
        if words.iter().any(|(word, expected)| word.load(SeqCst) != *expected) {
            return None;
        }
        let number = self.next_number.replace(self.next_number.get() + 1);
        let words = words.iter().map(|(word, _)| std::ptr::from_ref::<AtomicU32>(word) as usize).collect();
        sleepers.push(Sleeper { number, words, thread: loom::thread::current(), ended: None });
        Some(number)
    }

    /// Why the sleep ended, if it has; then the sleeper is one no more.
    fn wake_up(&self, number: u32, bound_passed: bool) -> Option<Slept> {
        let mut sleepers = self.sleepers.lock().expect("nobody panics in here");
        let at = sleepers.iter().position(|sleeper| sleeper.number == number).expect("still in the list");
        let ended = sleepers[at].ended.or(bound_passed.then_some(Slept::TimedOut));
        if ended.is_some() {
            sleepers.remove(at);
        }
        ended
    }

    fn pass_time(&self, bound: Duration) {
        clock::pass(bound);
        let me = words::process();
        let passed = &mut self.bounds_passed.borrow_mut()[me as usize];
        *passed += 1;
        if *passed == BOUNDS_EXPLORED {
            loom::skip_branch();
        }
        assert!(*passed < BOUNDS_MOST, "process {me} slept {passed} times in vain");
    }
}

/// Sleeps while `word` is `expected`.
pub fn sleep(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    sleep_any(&[(word, expected)], bound)
}

/// Sleeps while every word has its expected value.
pub fn sleep_any(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    words::step();
    let kernel = kernel();
    let slept = match kernel.fall_asleep(words) {
        None => Slept::Woken,
        Some(number) => loop {
            let can_bound_pass = kernel.can_bound_pass();
            if can_bound_pass {
                loom::thread::yield_now();
            } else {
                loom::thread::park();
            }
            if let Some(ended) = kernel.wake_up(number, can_bound_pass) {
                break ended;
            }
        },
    };
    // Whoever has a deadline may find it passed even if he was woken.
    if slept == Slept::TimedOut || kernel.impatient.contains(&words::process()) {
        kernel.pass_time(bound);
    }
    words::step(); // woken, and killed before it acts
    slept
}

/// Wakes at most `count` sleepers of `word`, who slept longest first; returns how many there were.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    if !words::is_running() {
        return 0; // one makes things ready, and nobody sleeps
    }
    words::step();
    let at = std::ptr::from_ref(word) as usize;
    let kernel = kernel();
    let mut sleepers = kernel.sleepers.lock().expect("nobody panics in here");
    let asleep = sleepers.iter_mut().filter(|sleeper| sleeper.ended.is_none() && sleeper.words.contains(&at));
    let mut woken = 0;
    for sleeper in asleep.take(count as usize) {
        sleeper.ended = Some(Slept::Woken);
        sleeper.thread.unpark();
        woken += 1;
    }
    woken
}

// ---------------------------------------------------------------------------------------------- processes

/// Who am I: each process of a model has another.
#[must_use]
pub fn epoch() -> u32 {
    words::process() + 1
}

/// As `epoch`.
#[must_use]
pub fn process_id() -> u32 {
    epoch()
}

/// As `epoch`: the threads of one process are not told apart.
#[must_use]
pub fn thread_id() -> u32 {
    epoch()
}

/// All processes are one user's.
#[must_use]
pub fn user_id() -> u32 {
    0
}

/// Milliseconds of the models' clock.
#[must_use]
pub fn now_ms() -> u64 {
    let now = clock::Instant::now().saturating_duration_since(clock::Instant::default());
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// No model asks for the date.
#[must_use]
pub fn unix_ms() -> u64 {
    0
}

/// One: looking again and again before a sleep is no different from looking once, and loom would try them all.
#[must_use]
pub fn spin_cpus() -> usize {
    1
}

/// The only machine there is.
pub fn host() -> &'static Host {
    static HOST: Host = Host { boot_id: [1, 1], pid_namespace: 1, kernel: String::new(), can_sleep_on_many: true };
    &HOST
}

/// A process's own state, which its threads share. One lock for each process.
pub struct ForkLocked<T> {
    state: UnsafeCell<T>,
}

impl<T> std::fmt::Debug for ForkLocked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForkLocked")
    }
}

// SAFETY: `with` lets in one thread of a process at a time, and processes do not share what lies in one: a segment is
// one process's, and what is static holds nothing, or is not touched once a model runs.
unsafe impl<T: Send> Sync for ForkLocked<T> {}

impl<T> ForkLocked<T> {
    /// Wraps `state`.
    pub const fn new(state: T) -> ForkLocked<T> {
        ForkLocked { state: UnsafeCell::new(state) }
    }

    /// Runs `act` alone in this process.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        if !words::is_running() {
            // SAFETY: outside of loom there is one thread: `make models` runs the tests one after the other.
            return act(unsafe { &mut *self.state.get() });
        }
        let kernel = kernel();
        let alone = kernel.own[words::process() as usize].lock().expect("nobody panics in here");
        // Who dies in `act` never gives the lock back, and nobody of his process is left to wait for it.
        let alone = std::mem::ManuallyDrop::new(alone);
        // SAFETY: the process's lock is held.
        let done = act(unsafe { &mut *self.state.get() });
        drop(std::mem::ManuallyDrop::into_inner(alone));
        done
    }
}

// ---------------------------------------------------------------------------------------------- files

/// How the names of unfinished files begin; there are none.
pub const UNFINISHED: &str = ".unfinished-";
/// The number of whoever builds; no participant has it.
pub const BUILDER: u32 = 0;

/// There is always room.
#[must_use]
pub fn errno_is_no_space(_errno: i32) -> bool {
    false
}

/// The bytes of a file, and the marks of who holds its signs of life.
#[derive(Debug)]
struct Inode {
    bytes: *mut u8,
    len: usize,
    pulses: Vec<AtomicU32>,
    /// See `keep`.
    kept: RefCell<Vec<u8>>,
}

// SAFETY: plain memory, reached through words that loom watches and through raw copies.
unsafe impl Send for Inode {}
// SAFETY: as above.
unsafe impl Sync for Inode {}

impl Inode {
    fn layout(len: usize) -> Layout {
        Layout::from_size_align(len, PAGE).expect("a small segment")
    }

    fn new(len: usize) -> Inode {
        // SAFETY: no segment is empty.
        let bytes = unsafe { std::alloc::alloc_zeroed(Inode::layout(len)) };
        assert!(!bytes.is_null(), "memory for a model's file");
        let pulses = (0..=PARTICIPANTS).map(|_| AtomicU32::new(0)).collect();
        Inode { bytes, len, pulses, kept: RefCell::new(Vec::new()) }
    }

    fn number(&self) -> u64 {
        self.bytes as u64
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        words::forget_range(self.bytes, self.len);
        // SAFETY: made in `new` with this layout; whoever maps it holds the inode.
        unsafe { std::alloc::dealloc(self.bytes, Inode::layout(self.len)) };
    }
}

fn named(path: &Path) -> Option<Arc<Inode>> {
    NAMES.with(|names| names.borrow().get(path).cloned())
}

/// An open file.
#[derive(Debug)]
pub struct File {
    inode: Arc<Inode>,
    path: PathBuf,
}

impl File {
    /// Opens `path`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn open(name: &str, path: &Path) -> Result<(File, Facts)> {
        let inode = named(path).ok_or_else(|| Error::NotFound { name: name.to_owned() })?;
        let file = File { inode, path: path.to_owned() };
        let facts = file.facts(name)?;
        Ok((file, facts))
    }

    /// The facts as they are now.
    ///
    /// # Errors
    /// None.
    pub fn facts(&self, _name: &str) -> Result<Facts> {
        Ok(Facts {
            device: words::process().into(),
            inode: self.inode.number(),
            links: u64::from(self.is_at_its_path()),
            user: user_id(),
            mode: 0o600,
            len: self.inode.len as u64,
            committed: self.inode.len as u64,
            is_regular: true,
        })
    }

    /// There is always room.
    ///
    /// # Errors
    /// None.
    pub fn commit(&self, _name: &str, _offset: u64, _bytes: u64) -> Result<()> {
        Ok(())
    }

    /// True if the path names this very file still.
    #[must_use]
    pub fn is_at_its_path(&self) -> bool {
        named(&self.path).is_some_and(|inode| Arc::ptr_eq(&inode, &self.inode))
    }

    /// Reads up to `out.len()` bytes at the start; returns how many there were.
    ///
    /// # Errors
    /// None.
    pub fn read_start(&self, _name: &str, out: &mut [u8]) -> Result<usize> {
        let count = out.len().min(self.inode.len);
        // SAFETY: both are at least `count` long; the start of a segment does not change once it can be opened.
        unsafe { std::ptr::copy_nonoverlapping(self.inode.bytes, out.as_mut_ptr(), count) };
        Ok(count)
    }

    /// Maps the first `len` bytes.
    ///
    /// # Errors
    /// None.
    pub fn map(&self, _name: &str, len: usize, _writable: bool) -> Result<Map> {
        Ok(Map { inode: Arc::clone(&self.inode), len: len.min(self.inode.len) })
    }

    /// This one will do.
    ///
    /// # Errors
    /// None.
    pub fn check_file_system(&self, _name: &str) -> Result<()> {
        Ok(())
    }
}

/// Unlinks `path` if it still names the file `facts` were taken of. Returns whether it did.
///
/// # Errors
/// None.
pub fn unlink_if_same(path: &Path, facts: &Facts) -> Result<bool> {
    let is_same = named(path).is_some_and(|inode| inode.number() == facts.inode);
    Ok(is_same && NAMES.with(|names| names.borrow_mut().remove(path)).is_some())
}

/// A file that is built completely before anybody can see it.
#[derive(Debug)]
pub struct Draft {
    location: PathBuf,
}

impl Draft {
    /// Starts a file of `len` bytes.
    ///
    /// # Errors
    /// `NoSpace` for one that memory cannot hold.
    pub fn begin(name: &str, path: &Path, len: u64, _backing: Backing) -> Result<(Draft, File)> {
        let len = usize::try_from(len).map_err(|_| Error::NoSpace { name: name.to_owned(), bytes: len })?;
        let inode = Arc::new(Inode::new(len));
        INODES.with(|inodes| inodes.borrow_mut().push(Arc::downgrade(&inode)));
        Ok((Draft { location: path.to_owned() }, File { inode, path: path.to_owned() }))
    }

    /// Gives the finished file its name.
    ///
    /// # Errors
    /// `Exists`.
    pub fn publish(&self, file: &File, name: &str) -> Result<()> {
        if named(&self.location).is_some() {
            return Err(Error::Exists { name: name.to_owned() });
        }
        NAMES.with(|names| names.borrow_mut().insert(self.location.clone(), Arc::clone(&file.inode)));
        Ok(())
    }
}

/// Bytes that processes share.
#[derive(Debug)]
pub struct Map {
    inode: Arc<Inode>,
    len: usize,
}

impl Map {
    /// The first byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.inode.bytes
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

// ---------------------------------------------------------------------------------------------- signs of life

/// What stands at a number that `process` holds.
fn mark_of(process: Process) -> u32 {
    process + 1
}

/// A sign of life at a number. Taking one, asking for one and losing one happen in an order that all agree on, as under
/// a kernel's lock.
#[derive(Debug)]
pub struct Pulse {
    inode: Arc<Inode>,
    number: u32,
}

impl Pulse {
    /// Takes the sign of life at `number`. `None`: somebody living has it.
    ///
    /// # Errors
    /// None.
    pub fn take(file: &File, _name: &str, number: u32) -> Result<Option<Pulse>> {
        let word = &file.inode.pulses[number as usize];
        let taken = word.compare_exchange(0, mark_of(words::process()), AcqRel, Acquire).is_ok();
        Ok(taken.then(|| Pulse { inode: Arc::clone(&file.inode), number }))
    }

    /// Whether somebody living holds `number`.
    #[must_use]
    pub fn is_held(file: &File, _name: &str, number: u32) -> bool {
        file.inode.pulses[number as usize].fetch_or(0, AcqRel) != 0
    }

    /// Whether somebody living holds any of the numbers `1..=count`.
    #[must_use]
    pub fn is_any_held(file: &File, name: &str, count: u32) -> bool {
        (1..=count).any(|number| Pulse::is_held(file, name, number))
    }

    /// Runs `act` while holding the signs `first..first+count` that nobody living holds; `None` if somebody does.
    pub fn while_dead<R>(file: &File, name: &str, first: u32, count: u32, act: impl FnOnce() -> R) -> Option<R> {
        let mut held = Vec::new();
        for number in first..first + count {
            held.push(Pulse::take(file, name, number).ok()??);
        }
        Some(act())
    }

    /// Never: the sign hangs on nothing that others could keep.
    #[must_use]
    pub fn is_by_descriptor(&self) -> bool {
        false
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.inode.pulses[self.number as usize].swap(0, AcqRel);
    }
}
