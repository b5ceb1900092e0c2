//! Words that loom watches, and processes that die at a chosen step.
//!
//! loom's own atomics are larger than words and cannot lie in a segment. So a word here is as large as a real one, and
//! loom's twin of it is found by its address. All code above runs unchanged, whole queues included.
//!
//! A model begins outside of loom: whatever it needs is made and used by plain loads and stores, and each word that is
//! touched becomes known. `begin` then makes the twins of all known words, with the values that they have. From there
//! on the twins alone change, so that each execution starts from the same memory.
//!
//! A thread plays a process. One of them may be doomed: it dies right before its n-th step, that is, before a store or
//! a call that sleeps or wakes, or after a sleep. It does nothing more then; its destructors run, but change nothing.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;

pub use loom::sync::atomic::fence;
pub use std::sync::atomic::Ordering;

/// Number of a process; 0 is who checks.
pub type Process = u32;

/// What the system does for a process that has ended.
pub type LastRites = fn(Process);

#[derive(Debug, Clone, Copy)]
enum Width {
    Word,
    Double,
    Bytes,
}

enum Twin {
    Word(loom::sync::atomic::AtomicU32),
    Double(loom::sync::atomic::AtomicU64),
    Bytes(loom::cell::UnsafeCell<()>),
}

/// The process that dies, and how many steps it makes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doom {
    /// Who dies.
    pub process: Process,
    /// After so many steps.
    pub after: u32,
}

#[derive(Default)]
struct World {
    is_running: Cell<bool>,
    /// Every word that was touched outside of loom, in order of address: twins are made in the same order each time.
    known: RefCell<BTreeMap<usize, Width>>,
    twins: RefCell<HashMap<usize, Rc<Twin>>>,
    /// Who makes things ready outside of loom.
    acting: Cell<Process>,
    doom: Cell<Option<Doom>>,
    steps: Cell<u32>,
    has_died: Cell<bool>,
    /// A check did not hold: whatever still runs only cleans up.
    has_failed: Cell<bool>,
    last_rites: Cell<Option<LastRites>>,
}

thread_local! {
    static WORLD: World = World::default();
}

loom::thread_local! {
    static PLAYS: Cell<Process> = Cell::new(0);
}

/// Thrown through a process that dies.
struct Died;

/// Makes the twins of all known words. The first thing that an execution does.
pub fn begin(doom: Option<Doom>, last_rites: LastRites) {
    WORLD.with(|world| {
        world.is_running.set(true);
        world.doom.set(doom);
        world.steps.set(0);
        world.has_died.set(false);
        world.has_failed.set(false);
        world.last_rites.set(Some(last_rites));
        let twins = world.known.borrow().iter().map(|(at, width)| (*at, Rc::new(twin_of(*at, *width)))).collect();
        world.twins.replace(twins);
    });
}

/// Ends an execution. Returns whether the doomed process came to its last step.
pub fn end() -> bool {
    WORLD.with(|world| {
        world.is_running.set(false);
        world.has_failed.set(false);
        world.twins.borrow_mut().clear();
        world.doom.set(None);
        world.has_died.get()
    })
}

/// Runs `act` outside of loom as a process that dies as `doom` says, or at the end. True if it came so far.
pub fn dies_acting_as(doom: Doom, last_rites: LastRites, act: impl FnOnce()) -> bool {
    WORLD.with(|world| {
        world.doom.set(Some(doom));
        world.steps.set(0);
        world.has_died.set(false);
        world.last_rites.set(Some(last_rites));
    });
    let is_cut_short = acting_as(doom.process, || {
        let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).err();
        match thrown {
            None => false,
            Some(thrown) if thrown.is::<Died>() => true,
            Some(thrown) => std::panic::resume_unwind(thrown),
        }
    });
    WORLD.with(|world| {
        world.doom.set(None);
        world.has_died.set(false);
    });
    if !is_cut_short {
        last_rites(doom.process);
    }
    is_cut_short
}

fn twin_of(at: usize, width: Width) -> Twin {
    // SAFETY: the word was alive when it was touched, and is taken off the list when it dies; nothing writes it now.
    unsafe {
        match width {
            Width::Word => Twin::Word(loom::sync::atomic::AtomicU32::new(*(at as *const u32))),
            Width::Double => Twin::Double(loom::sync::atomic::AtomicU64::new(*(at as *const u64))),
            Width::Bytes => Twin::Bytes(loom::cell::UnsafeCell::new(())),
        }
    }
}

/// Runs `act` as `process` outside of loom: what it makes belongs to that one.
pub fn acting_as<R>(process: Process, act: impl FnOnce() -> R) -> R {
    let before = WORLD.with(|world| world.acting.replace(process));
    let done = act();
    WORLD.with(|world| world.acting.set(before));
    done
}

/// Lets a thread of the model play `process`. `None` from the thread if the process died.
pub fn play<R: 'static>(process: Process, act: impl FnOnce() -> R + 'static) -> loom::thread::JoinHandle<Option<R>> {
    loom::thread::spawn(move || {
        PLAYS.with(|plays| plays.set(process));
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
            Ok(done) => Some(done),
            Err(thrown) if thrown.is::<Died>() => None,
            Err(thrown) => {
                fail();
                std::panic::resume_unwind(thrown)
            }
        }
    })
}

/// Says that a check did not hold: what still runs only cleans up, and loom is asked no more.
pub fn fail() {
    WORLD.with(|world| {
        world.is_running.set(false);
        world.has_failed.set(true);
    });
}

/// Who runs.
#[must_use]
pub fn process() -> Process {
    WORLD.with(|world| if world.is_running.get() { PLAYS.with(Cell::get) } else { world.acting.get() })
}

/// Whether loom watches.
#[must_use]
pub fn is_running() -> bool {
    WORLD.with(|world| world.is_running.get())
}

/// Whether the process that runs is dead, and only its destructors are left.
fn is_dead() -> bool {
    WORLD.with(|world| world.has_died.get() && world.doom.get().is_some_and(|doom| doom.process == process()))
}

/// A step after which others can tell that it was made; the doomed process may die right before it.
pub fn step() {
    let is_last = WORLD.with(|world| match world.doom.get() {
        Some(doom) if !world.has_died.get() && doom.process == process() => {
            world.steps.replace(world.steps.get() + 1) == doom.after
        }
        _ => false,
    });
    if is_last {
        die();
    }
}

fn die() -> ! {
    WORLD.with(|world| {
        world.doom.set(None); // what the system does now, it does completely
        let rites = world.last_rites.get();
        let doom = Doom { process: process(), after: world.steps.get() };
        if let Some(rites) = rites {
            rites(doom.process);
        }
        world.doom.set(Some(doom));
        world.has_died.set(true);
    });
    std::panic::resume_unwind(Box::new(Died));
}

/// The twin of what lies at `at`; `None` outside of loom, where the place becomes known, and for the dead.
fn twin(at: usize, width: Width) -> Seen {
    WORLD.with(|world| {
        if world.has_failed.get() || is_dead() {
            return Seen::ByTheDead;
        }
        if !world.is_running.get() {
            world.known.borrow_mut().insert(at, width);
            return Seen::Plain;
        }
        let mut twins = world.twins.borrow_mut();
        Seen::Twin(Rc::clone(twins.entry(at).or_insert_with(|| Rc::new(twin_of(at, width)))))
    })
}

enum Seen {
    Plain,
    ByTheDead,
    Twin(Rc<Twin>),
}

fn forget(at: usize) {
    // A thread that ends drops what it has after the world; nobody looks any more.
    let _ = WORLD.try_with(|world| {
        world.known.borrow_mut().remove(&at);
        world.twins.borrow_mut().remove(&at);
    });
}

/// Memory is given back: what words lay in it are none any more.
pub fn forget_range(start: *const u8, bytes: usize) {
    let range = start as usize..start as usize + bytes;
    let _ = WORLD.try_with(|world| {
        world.known.borrow_mut().retain(|at, _| !range.contains(at));
        world.twins.borrow_mut().retain(|at, _| !range.contains(at));
    });
}

/// Bytes that are no words are about to be written: nobody may read them without having been told.
pub fn writing(bytes: *const u8) {
    step();
    if let Seen::Twin(twin) = twin(bytes as usize, Width::Bytes)
        && let Twin::Bytes(cell) = &*twin
    {
        cell.with_mut(|_| ());
    }
}

/// Bytes that are no words are about to be read, and whoever wrote them has told of it.
pub fn reading(bytes: *const u8) {
    if let Seen::Twin(twin) = twin(bytes as usize, Width::Bytes)
        && let Twin::Bytes(cell) = &*twin
    {
        cell.with(|_| ());
    }
}

macro_rules! word {
    ($name:ident, $int:ty, $width:ident) => {
        /// As large as the standard one, and watched by loom.
        #[repr(transparent)]
        pub struct $name(UnsafeCell<$int>);

        // SAFETY: loom runs one thread at a time, all of them on one thread of the system.
        unsafe impl Sync for $name {}

        impl $name {
            /// A word in memory of its own.
            #[must_use]
            pub const fn new(value: $int) -> $name {
                $name(UnsafeCell::new(value))
            }

            fn seen(&self) -> Seen {
                twin(self.0.get() as usize, Width::$width)
            }

            fn plain(&self) -> $int {
                // SAFETY: outside of loom there is one thread.
                unsafe { *self.0.get() }
            }

            /// As the standard one.
            #[must_use]
            pub fn load(&self, order: Ordering) -> $int {
                match self.seen() {
                    Seen::Twin(twin) => match &*twin {
                        Twin::$width(twin) => twin.load(order),
                        _ => unreachable!("a place is one thing"),
                    },
                    Seen::Plain | Seen::ByTheDead => self.plain(),
                }
            }

            /// As the standard one.
            pub fn store(&self, value: $int, order: Ordering) {
                step();
                match self.seen() {
                    Seen::Twin(twin) => match &*twin {
                        // loom does not know that a store and another's step that reads and writes come one after
                        // the other for everybody. It does of two such steps.
                        Twin::$width(twin) => drop(twin.swap(value, order)),
                        _ => unreachable!("a place is one thing"),
                    },
                    // SAFETY: as in `plain`.
                    Seen::Plain => unsafe { *self.0.get() = value },
                    Seen::ByTheDead => {}
                }
            }

            /// As the standard one.
            pub fn compare_exchange(
                &self,
                from: $int,
                to: $int,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$int, $int> {
                step();
                match self.seen() {
                    Seen::Twin(twin) => match &*twin {
                        Twin::$width(twin) => twin.compare_exchange(from, to, order, failed),
                        _ => unreachable!("a place is one thing"),
                    },
                    Seen::Plain if self.plain() == from => {
                        // SAFETY: as in `plain`.
                        unsafe { *self.0.get() = to };
                        Ok(from)
                    }
                    Seen::Plain | Seen::ByTheDead => Err(self.plain()),
                }
            }

            /// As the standard one.
            pub fn compare_exchange_weak(
                &self,
                from: $int,
                to: $int,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$int, $int> {
                self.compare_exchange(from, to, order, failed)
            }

            /// One step that reads and writes: `watched` on the twin, `plain` outside of loom.
            fn change(&self, watched: impl FnOnce(&loom::sync::atomic::$name) -> $int, plain: $int) -> $int {
                step();
                match self.seen() {
                    Seen::Twin(twin) => match &*twin {
                        Twin::$width(twin) => watched(twin),
                        _ => unreachable!("a place is one thing"),
                    },
                    Seen::Plain => {
                        // SAFETY: as in `plain`.
                        std::mem::replace(unsafe { &mut *self.0.get() }, plain)
                    }
                    Seen::ByTheDead => 0,
                }
            }

            /// As the standard one.
            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                self.change(|twin| twin.swap(value, order), value)
            }

            /// As the standard one.
            pub fn fetch_add(&self, value: $int, order: Ordering) -> $int {
                self.change(|twin| twin.fetch_add(value, order), self.plain().wrapping_add(value))
            }

            /// As the standard one.
            pub fn fetch_or(&self, value: $int, order: Ordering) -> $int {
                self.change(|twin| twin.fetch_or(value, order), self.plain() | value)
            }

            /// As the standard one.
            pub fn fetch_and(&self, value: $int, order: Ordering) -> $int {
                self.change(|twin| twin.fetch_and(value, order), self.plain() & value)
            }

            /// As the standard one.
            pub fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                self.change(|twin| twin.fetch_max(value, order), self.plain().max(value))
            }

            /// As the standard one.
            pub fn fetch_update(
                &self,
                order: Ordering,
                failed: Ordering,
                change: impl Fn($int) -> Option<$int>,
            ) -> Result<$int, $int> {
                let mut seen = self.load(failed);
                while let Some(next) = change(seen) {
                    match self.compare_exchange(seen, next, order, failed) {
                        Ok(before) => return Ok(before),
                        Err(now) => seen = now,
                    }
                }
                Err(seen)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                forget(self.0.get() as usize);
            }
        }
    };
}

word!(AtomicU32, u32, Word);
word!(AtomicU64, u64, Double);
