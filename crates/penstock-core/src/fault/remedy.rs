//! The remedies against what deaths do, each of which a test build can leave out: so it is seen that a test fails then.
//!
//! `docs/crash.md` has the table: remedy, test, seen failing without it. In every other build `is_on` is the constant
//! `true`, and what stands behind its negation is not compiled.

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("planted bugs are for tests; a release has none");

macro_rules! remedies {
    ($($(#[doc = $doc:expr])+ $name:ident,)+) => {
        /// What is done against one way to fail.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Remedy {
            $($(#[doc = $doc])+ $name,)+
        }

        #[cfg(feature = "planted-bugs")]
        impl Remedy {
            /// All of them.
            pub const ALL: &[Remedy] = &[$(Remedy::$name),+];
        }
    };
}

remedies! {
    /// A name means one generation of a number. Without: whoever has the number now.
    GenerationCounts,
    /// A number whose owner's death is being acted on cannot be had. Without: a newcomer may get it meanwhile.
    NobodyIsBornMeanwhile,
    /// A fork waits for the end of an act on a death. Without: the child inherits the lock that the act holds.
    ForkWaitsForReaping,
    /// An act on a death has a description of its own. Without: children share the lock, and keep it.
    OwnDescription,
    /// A sign of life hangs on a map. Without: on a descriptor, which a program may close.
    SignOfLifeOnAMap,
    /// A descriptor is proven to be the segment's before each use. Without: it may be somebody else's file by now.
    DescriptorsAreChecked,
    /// Whether a lock outlives its descriptor is tried out. Without: believed, also on overlay file systems.
    OverlayIsProbed,
    /// Where signs of life hang on descriptors, the pid tells too. Without: whoever has a copy keeps the dead alive.
    PidTellsToo,
    /// No child inherits the map of a sign of life. Without: a child keeps its dead parent alive.
    MapsAreNotInherited,
    /// Who a process is, is forgotten at a fork. Without: a child takes itself for its parent.
    ForgottenAtFork,
    /// The kernel does that. Without: only the C library's `fork` does.
    WipedByTheKernel,
    /// Once attached, the name is looked at again. Without: what was opened may be another world by then.
    NameIsLookedAtAgain,
    /// A maker registers before there is a name. Without: a quick visitor is the only user, and the last.
    RegisteredBeforeNamed,
    /// Whether somebody sleeps is asked by changing the word. Without: by a plain load, which may pass the store before it.
    SignalChangesTheWord,
    /// A sleeper announces itself and then looks. Without: it looks first, and misses what comes in between.
    LooksOnceAnnounced,
    /// The bit for sleepers stays while there are any. Without: the first wake-up takes it away.
    BitIsSticky,
    /// Who gives up passes on a wake-up that was meant for it. Without: it is lost.
    WakeUpIsPassedOn,
    /// A woken waiter takes a lock with the bit set. Without: others that sleep are forgotten.
    TakenWithTheBit,
    /// Unlocking is a swap. Without: load and store, and a bit that was set in between is gone.
    UnlockBySwap,
    /// Every sleep ends by itself. Without: by a wake-up only.
    SleepsAreBounded,
    /// A repair wakes everybody. Without: whom the dead should have woken learns of it at a heartbeat.
    WakesAfterRepair,
    /// Whoever finds a queue full or empty looks for the dead. Without: their room and their items are missing.
    LooksBeforeWaiting,
    /// So does whoever takes from a queue that is never empty. Without: what the dead had on loan stays away.
    LooksInPassing,
    /// Whoever inherits a lock repairs. Without: it goes on from where the dead stood.
    HeirsRepair,
    /// Repair frees what the dead had reserved. Without: the queue is smaller from then on.
    ReservedComesBack,
    /// Repair lets wait again what the dead had leased. Without: it is nobody's.
    LeasedComesBack,
    /// Repair writes the rings anew from the slots. Without: they stay as the dead left them.
    RingsFollowSlots,
    /// Repair takes the sequence from the slots. Without: two items get the same.
    SequenceFollowsSlots,
    /// A settlement is noted before it begins, and repair reads the note. Without: the count and the slot drift apart.
    SettlementIsNoted,
    /// Nothing is taken from the living. Without: whoever stands still for long loses his lock.
    NothingByTime,
    /// A large item is copied outside the lock. Without: a slow writer holds everybody up.
    CopiedOutsideTheLock,
    /// A timeout bounds the wait for a lock as well. Without: whoever is stopped stops all.
    LockWaitsEnd,
    /// A delivery is counted. Without: an item that kills its consumers is delivered for ever.
    DeliveriesAreCounted,
    /// A slot is moved by a CAS from exactly what it was. Without: by a store.
    MovesByCas,
    /// A slot is its holder's while its whole word is the same. Without: while it is on loan to him, with whatever item.
    WordIsTheFence,
    /// An item is written, and Ready, before a ring tells of it. Without: a ring names what is not there yet.
    ReadyBeforeTold,
    /// A slot is Free before a ring tells of it. Without: a producer finds it taken.
    FreeBeforeTold,
    /// A segment has its name once it is complete. Without: a death leaves half of one.
    CompleteBeforeNamed,
    /// A name is given only if it is free. Without: the second maker takes it from the first.
    NameIsGivenOnce,
    /// The file system gives room before anything is stored. Without: the store kills.
    RoomBeforeStores,
    /// Whoever waits sees that the file has no name any more. Without: it waits where nobody comes.
    NoNameIsNoticed,
    /// A semaphore's count moves by CAS. Without: two take the same permit.
    PermitsByCas,
    /// A tick runs with no lock in hand. Without: what it runs may wait for itself.
    NoTickUnderALock,
    /// Words of an earlier start of the machine name nobody. Without: they may name a newcomer.
    StartIsNoted,
    /// After a restart an item is checked. Without: what came to disk in part is delivered.
    ItemsAreChecked,
    /// Only file systems that are known to be good are used. Without: any.
    KnownFileSystemsOnly,
    /// A leftover is what shows no sign of life. Without: what the living use is removed.
    LifeBeforeRemoval,
    /// A name is removed while nobody can begin to use it. Without: a newcomer's is.
    NobodyComesMeanwhile,
    /// Who takes the number of somebody who died says that there may be work. Without: nobody looks.
    NewcomersTell,
    /// So does whoever leaves with something in hand. Without: nobody looks.
    LeaversTell,
    /// Repair forgets exactly those that it found dead. Without: a newcomer at the same number too.
    ForgetsExactly,
}

#[cfg(not(feature = "planted-bugs"))]
impl Remedy {
    /// Whether it is applied: always.
    #[inline(always)]
    #[must_use]
    pub const fn is_on(self) -> bool {
        true
    }
}

#[cfg(feature = "planted-bugs")]
impl Remedy {
    /// Whether it is applied: all are, but for the one that `PENSTOCK_WITHOUT` names.
    #[must_use]
    pub fn is_on(self) -> bool {
        static WITHOUT: std::sync::OnceLock<Option<Remedy>> = std::sync::OnceLock::new();
        *WITHOUT.get_or_init(left_out) != Some(self)
    }
}

#[cfg(feature = "planted-bugs")]
fn left_out() -> Option<Remedy> {
    let name = std::env::var("PENSTOCK_WITHOUT").ok()?;
    let found = Remedy::ALL.iter().find(|remedy| format!("{remedy:?}") == name);
    Some(*found.unwrap_or_else(|| panic!("there is no remedy called {name}")))
}
