//! One named region of shared memory: made whole and then published, checked at the door, left in good order.
//!
//! A process maps a segment once, however many handles it opens, and is one participant in it. The first use
//! after a `fork` registers the child as a participant of its own.

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::atomic::{AtomicU32, AtomicU64};
use crate::error::{Error, Result};
use crate::fault::{self, Remedy};
use crate::layout::{
    BYTE_ORDER, CONTROL_AT, Control, Entry, FLAG_FILE, FLAG_WHILE_OPEN, Fixed, ITEM_MAX, Kind, MAGIC, Owner, PAGE,
    PARAMS, PARTICIPANTS, POISONED, TABLE_AT, UNLINKED, VERSION, checksum,
};
use crate::name::Location;
use crate::participant::Table;
use crate::sys::{self, Backing, Draft, Facts, File, ForkLocked, Map, Pulse};
use std::mem::{ManuallyDrop, offset_of, size_of};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a segment stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until its name is removed, or the machine restarts.
    UntilUnlinked,
    /// Until its last user closes it or dies.
    WhileOpen,
}

/// What a new segment is to be.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Its kind.
    pub kind: Kind,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// What the kind needs.
    pub params: [u64; PARAMS],
    /// What an item is.
    pub item: String,
    /// Length of the whole.
    pub total_bytes: u64,
    /// How much of it is committed at once.
    pub committed_bytes: u64,
}

/// Whether to take bytes that others may have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Only one's own files, which nobody else may write.
    OwnOnly,
    /// Whatever the file's permissions let in.
    Anyone,
}

/// What the fixed page says, checked.
#[derive(Debug, Clone)]
pub struct Header {
    /// Its kind.
    pub kind: Kind,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// It is a file of the user's own.
    pub is_file: bool,
    /// What the kind needs.
    pub params: [u64; PARAMS],
    /// What an item is.
    pub item: String,
    /// Length of the whole.
    pub total_bytes: u64,
    /// How much of it was committed at creation.
    pub committed_bytes: u64,
    /// When it was made, Unix milliseconds.
    pub created_unix_ms: u64,
    /// By which process.
    pub creator_pid: u32,
}

/// One mapped segment of this process.
#[derive(Debug)]
pub struct Segment {
    name: String,
    location: Location,
    header: Header,
    file: File,
    facts: Facts,
    map: Map,
    /// Epoch of the process (high half) and the owner word (low half) of its registration; 0 = none.
    me: AtomicU64,
    membership: ForkLocked<Membership>,
    /// Not 0 if what this process leaves behind may need a repair.
    may_hold_something: AtomicU32,
}

#[derive(Debug)]
struct Membership {
    handles: usize,
    /// The process that `pulse` belongs to: in a forked child its mapping does not exist and must not be unmapped.
    epoch: u32,
    pulse: Option<ManuallyDrop<Pulse>>,
}

static OPEN: ForkLocked<Vec<Weak<Segment>>> = ForkLocked::new(Vec::new());

/// How often to look again at a name that somebody is just removing, and after how long.
const LOOKS_WHILE_REMOVED: u32 = 20;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// One handle's claim on a segment. The last one that closes leaves the segment in good order.
#[derive(Debug)]
pub struct Attachment {
    segment: Arc<Segment>,
    is_open: AtomicU32,
}

impl Attachment {
    /// Makes a segment and attaches to it.
    ///
    /// # Errors
    /// `Exists` if the name is taken, `NoSpace`, `Unsupported`, `Untrusted`, `Os`. Nothing is left behind.
    pub fn create(location: &Location, blueprint: &Blueprint, fill: impl FnOnce(&Map)) -> Result<Attachment> {
        let name = &location.name;
        let (draft, file) = Draft::begin(name, &location.path, blueprint.total_bytes, backing_of(location, blueprint))?;
        file.check_file_system(name)?;
        file.commit(name, 0, blueprint.committed_bytes)?;
        let total = usize::try_from(blueprint.total_bytes)
            .map_err(|_| Error::NoSpace { name: name.clone(), bytes: blueprint.total_bytes })?;
        let map = file.map(name, total, true)?;
        if !Remedy::CompleteBeforeNamed.is_on() {
            draft.publish(&file, name)?;
            fault::point("create: published");
        }
        write_fixed(&map, &fixed_page(location, blueprint)?);
        for (word, id) in control_of(&map).boot.iter().zip(sys::host().boot_id) {
            word.store(id, Relaxed);
        }
        fill(&map);
        fault::point("create: complete");
        let facts = file.facts(name)?;
        let header = check_fixed(name, &read_fixed(&file, name)?)?;
        let segment = Arc::new(Segment::new(location, header, file, facts, map));
        if !Remedy::RegisteredBeforeNamed.is_on() {
            draft.publish(&segment.file, name)?;
            fault::point("create: published");
        }
        // Registered before it has a name: a quick visitor must not find itself the only user, and the last.
        let attachment = Attachment::to(Arc::clone(&segment))?;
        if Remedy::CompleteBeforeNamed.is_on() && Remedy::RegisteredBeforeNamed.is_on() {
            draft.publish(&segment.file, name)?;
        }
        fault::point("create: published");
        OPEN.with(|open| {
            open.retain(|other| other.strong_count() > 0);
            open.push(Arc::downgrade(&segment));
        });
        Ok(attachment)
    }

    /// Attaches to what lies under the name.
    ///
    /// # Errors
    /// `NotFound`, `Foreign`, `Untrusted`, `Unsupported`, `NewerVersion`, `Corrupted`, `TooManyProcesses`, `Os`. Nothing changed.
    pub fn open(location: &Location, trust: Trust) -> Result<Attachment> {
        const TRIES: u32 = 100;
        let mut patience = LOOKS_WHILE_REMOVED;
        for _ in 0..TRIES {
            let (file, facts) = File::open(&location.name, &location.path)?;
            check_trust(location, &facts, trust)?;
            let segment = match already_open(&facts) {
                Some(segment) => segment,
                None => Segment::map(location, file, facts)?,
            };
            let attached = match Attachment::to(Arc::clone(&segment)) {
                Err(Error::TooManyProcesses { .. }) if patience > 0 && !segment.table_seen_by(None).is_full() => {
                    // Whoever removes a name that nobody uses holds all numbers for that moment.
                    patience -= 1;
                    std::thread::sleep(LOOK_AGAIN);
                    continue;
                }
                attached => attached?,
            };
            // Between our open and our registration the name may have been removed, and even made anew: what we
            // hold would be a world of its own.
            if attached.segment.file.is_at_its_path() || !Remedy::NameIsLookedAtAgain.is_on() {
                return Ok(attached);
            }
        }
        Err(Error::NotFound { name: location.name.clone() })
    }

    fn to(segment: Arc<Segment>) -> Result<Attachment> {
        segment.membership.with(|m| m.handles += 1);
        let attachment = Attachment { segment, is_open: AtomicU32::new(1) };
        attachment.segment.me()?;
        Ok(attachment)
    }

    /// Another claim on the same segment, for something that outlives its handle (a lease).
    #[must_use]
    pub fn another(&self) -> Attachment {
        self.segment.membership.with(|m| m.handles += 1);
        Attachment { segment: Arc::clone(&self.segment), is_open: AtomicU32::new(1) }
    }

    /// Gives the claim up; again has no effect. The caller sees to it that no call on it is under way.
    pub fn close(&self) {
        if self.is_open.swap(0, AcqRel) == 1 {
            self.segment.membership.with(|m| self.segment.leave_if_last(m));
        }
    }

    /// Whether this claim stands.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open.load(Acquire) == 1
    }

    /// The segment.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.close();
    }
}

fn already_open(facts: &Facts) -> Option<Arc<Segment>> {
    // Upgraded ones that do not match must not die inside `with`: dropping a segment takes the same lock.
    let living: Vec<Arc<Segment>> = OPEN.with(|open| open.iter().filter_map(Weak::upgrade).collect());
    living.into_iter().find(|s| s.facts.device == facts.device && s.facts.inode == facts.inode)
}

fn backing_of(location: &Location, blueprint: &Blueprint) -> Backing {
    match blueprint.lifetime {
        Lifetime::WhileOpen if !location.is_file => Backing::Memory,
        _ => Backing::File,
    }
}

fn check_trust(location: &Location, facts: &Facts, trust: Trust) -> Result<()> {
    let untrusted = |what: String| Err(Error::Untrusted { name: location.name.clone(), what });
    if trust == Trust::OwnOnly && facts.user != sys::user_id() {
        return untrusted(format!(
            "its file belongs to user {}, not to user {}; pass trust=True if you trust that user with this process",
            facts.user,
            sys::user_id()
        ));
    }
    if trust == Trust::OwnOnly && facts.mode & 0o022 != 0 {
        return untrusted(format!(
            "its file's mode {:o} lets others write it; chmod it to 600, or pass trust=True",
            facts.mode
        ));
    }
    Ok(())
}

fn fixed_page(location: &Location, blueprint: &Blueprint) -> Result<Fixed> {
    let text = blueprint.item.as_bytes();
    if text.len() > ITEM_MAX {
        return Err(Error::BadValue {
            what: "the item's description",
            value: format!("{} bytes long", text.len()),
            limit: format!("at most {ITEM_MAX} bytes long"),
        });
    }
    let mut item = [0; ITEM_MAX];
    item[..text.len()].copy_from_slice(text);
    let mut flags = 0;
    if blueprint.lifetime == Lifetime::WhileOpen {
        flags |= FLAG_WHILE_OPEN;
    }
    if location.is_file {
        flags |= FLAG_FILE;
    }
    let mut fixed = Fixed {
        magic: MAGIC,
        version: VERSION,
        byte_order: BYTE_ORDER,
        kind: blueprint.kind as u32,
        flags,
        total_bytes: blueprint.total_bytes,
        committed_bytes: blueprint.committed_bytes,
        created_unix_ms: sys::unix_ms(),
        creator_pid: sys::process_id(),
        item_len: u32::try_from(text.len()).unwrap_or(0),
        params: blueprint.params,
        item,
        check: 0,
    };
    fixed.check = checksum(&bytes_of(&fixed)[..offset_of!(Fixed, check)]);
    Ok(fixed)
}

fn bytes_of(fixed: &Fixed) -> [u8; size_of::<Fixed>()] {
    // SAFETY: `Fixed` is plain integers without padding (its size is the sum of its fields), so every byte is set.
    unsafe { std::mem::transmute_copy(fixed) }
}

fn write_fixed(map: &Map, fixed: &Fixed) {
    let bytes = bytes_of(fixed);
    // SAFETY: a segment is longer than its fixed page, and nobody else has the draft's map.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), map.base(), bytes.len()) };
}

fn read_fixed(file: &File, name: &str) -> Result<[u8; size_of::<Fixed>()]> {
    let mut bytes = [0; size_of::<Fixed>()];
    let n = file.read_start(name, &mut bytes)?;
    if n >= MAGIC.len() && bytes[..MAGIC.len()] != MAGIC {
        return Err(Error::Foreign { name: name.to_owned(), what: "some other program's file".into() });
    }
    if n < bytes.len() {
        let what = if n < MAGIC.len() {
            "a file too short to be a segment".into()
        } else {
            format!("a segment cut off after {n} bytes")
        };
        return Err(if n < MAGIC.len() {
            Error::Foreign { name: name.to_owned(), what }
        } else {
            Error::Corrupted { name: name.to_owned(), what }
        });
    }
    Ok(bytes)
}

/// Reads the fixed page's fields out of bytes that anybody may have written.
fn check_fixed(name: &str, bytes: &[u8; size_of::<Fixed>()]) -> Result<Header> {
    let corrupted = |what: &str| Error::Corrupted { name: name.to_owned(), what: what.to_owned() };
    // SAFETY: `Fixed` is plain integers: any bytes are a valid value.
    let fixed: Fixed = unsafe { std::mem::transmute_copy(bytes) };
    if fixed.byte_order != BYTE_ORDER {
        return Err(corrupted("its byte order is not this machine's"));
    }
    if fixed.version > VERSION {
        return Err(Error::NewerVersion { name: name.to_owned(), found: fixed.version, known: VERSION });
    }
    if fixed.version < VERSION || fixed.check != checksum(&bytes[..offset_of!(Fixed, check)]) {
        return Err(corrupted("the check of its first page does not hold"));
    }
    let kind = Kind::from_word(fixed.kind).ok_or_else(|| corrupted("its kind is unknown"))?;
    let text =
        fixed.item.get(..fixed.item_len as usize).ok_or_else(|| corrupted("its item description is too long"))?;
    let item = std::str::from_utf8(text).map_err(|_| corrupted("its item description is not UTF-8"))?.to_owned();
    if fixed.total_bytes < PAGE as u64 {
        return Err(corrupted("its length is too small"));
    }
    Ok(Header {
        kind,
        lifetime: if fixed.flags & FLAG_WHILE_OPEN == 0 { Lifetime::UntilUnlinked } else { Lifetime::WhileOpen },
        is_file: fixed.flags & FLAG_FILE != 0,
        params: fixed.params,
        item,
        total_bytes: fixed.total_bytes,
        committed_bytes: fixed.committed_bytes,
        created_unix_ms: fixed.created_unix_ms,
        creator_pid: fixed.creator_pid,
    })
}

/// The file is as long as its first page says, and the file system has given the bytes that are used without asking.
/// A copy may have holes where they were zero; touched where there is no room left, such a page would end the process.
fn check_extent(name: &str, header: &Header, file: &File, facts: &Facts) -> Result<()> {
    let (total, committed) = (header.total_bytes, header.committed_bytes);
    if total > facts.len || committed > total || committed < crate::layout::BODY_AT as u64 {
        return Err(Error::Corrupted {
            name: name.to_owned(),
            what: format!("it is {} bytes long where its header says {total}, {committed} of them in use", facts.len),
        });
    }
    if facts.committed < committed { file.commit(name, 0, committed) } else { Ok(()) }
}

fn control_of(map: &Map) -> &Control {
    // SAFETY: every segment is at least BODY_AT long (checked before it is mapped); atomics only, aligned to a line.
    unsafe { &*map.base().add(CONTROL_AT).cast() }
}

impl Segment {
    fn new(location: &Location, header: Header, file: File, facts: Facts, map: Map) -> Segment {
        Segment {
            name: location.name.clone(),
            location: location.clone(),
            header,
            file,
            facts,
            map,
            me: AtomicU64::new(0),
            membership: ForkLocked::new(Membership { handles: 0, epoch: 0, pulse: None }),
            may_hold_something: AtomicU32::new(0),
        }
    }

    fn map(location: &Location, file: File, facts: Facts) -> Result<Arc<Segment>> {
        let name = &location.name;
        file.check_file_system(name)?;
        let header = check_fixed(name, &read_fixed(&file, name)?)?;
        check_extent(name, &header, &file, &facts)?;
        let total = usize::try_from(header.total_bytes).map_err(|_| Error::Corrupted {
            name: name.clone(),
            what: "it is longer than this machine can map".into(),
        })?;
        let map = file.map(name, total, true)?;
        let segment = Arc::new(Segment::new(location, header, file, facts, map));
        // Should another thread map it at the same moment, the process has two maps and two registrations: harmless.
        OPEN.with(|open| {
            open.retain(|other| other.strong_count() > 0);
            open.push(Arc::downgrade(&segment));
        });
        Ok(segment)
    }

    /// The name that messages show.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it lies.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// What its fixed page says.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Its bytes.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &Map {
        &self.map
    }

    /// The words all kinds share.
    #[inline]
    #[must_use]
    pub fn control(&self) -> &Control {
        control_of(&self.map)
    }

    /// The table of participants, seen by this process.
    ///
    /// # Errors
    /// As [`Segment::me`].
    pub fn table(&self) -> Result<Table<'_>> {
        let me = self.me()?;
        Ok(self.table_seen_by(Some(me)))
    }

    fn table_seen_by(&self, me: Option<Owner>) -> Table<'_> {
        // SAFETY: the table lies inside every segment (BODY_AT is checked before mapping); atomics only.
        let entries = unsafe {
            std::slice::from_raw_parts(self.map.base().add(TABLE_AT).cast::<Entry>(), PARTICIPANTS as usize + 1)
        };
        Table { control: self.control(), entries, file: &self.file, name: &self.name, me }
    }

    /// Who this process is in this segment; registers it on first use, also in a forked child.
    ///
    /// # Errors
    /// `TooManyProcesses`, `Removed`, `Os`.
    #[inline]
    pub fn me(&self) -> Result<Owner> {
        let me = self.me.load(Acquire);
        #[allow(clippy::cast_possible_truncation, reason = "the halves of the word")]
        match Owner::from_word(me as u32) {
            Some(owner) if (me >> 32) as u32 == sys::epoch() => Ok(owner),
            _ => self.register(),
        }
    }

    /// Whether this process is `owner`. Registers nobody: a forked child is not its parent, and need not be anybody.
    #[inline]
    #[must_use]
    pub fn is_me(&self, owner: Owner) -> bool {
        self.me.load(Acquire) == u64::from(sys::epoch()) << 32 | u64::from(owner.word())
    }

    #[cold]
    fn register(&self) -> Result<Owner> {
        let epoch = sys::epoch();
        self.membership.with(|m| {
            let me = self.me.load(Acquire);
            #[allow(clippy::cast_possible_truncation, reason = "the halves of the word")]
            if let (Some(owner), true) = (Owner::from_word(me as u32), (me >> 32) as u32 == epoch) {
                return Ok(owner);
            }
            if m.epoch != 0 && m.epoch != epoch {
                m.pulse = None; // the parent's: forgotten, not dropped
            }
            m.epoch = epoch;
            let (owner, pulse) = self.table_seen_by(None).register()?;
            m.pulse = Some(ManuallyDrop::new(pulse));
            self.me.store(u64::from(epoch) << 32 | u64::from(owner.word()), Release);
            Ok(owner)
        })
    }

    /// Runs inside the process's lock: takes one handle away and, after the last, leaves.
    fn leave_if_last(&self, m: &mut Membership) {
        m.handles = m.handles.saturating_sub(1);
        if m.handles > 0 || m.epoch != sys::epoch() {
            return;
        }
        let me = self.me.swap(0, AcqRel);
        #[allow(clippy::cast_possible_truncation, reason = "the low half of the word")]
        if let Some(owner) = Owner::from_word(me as u32) {
            self.table_seen_by(Some(owner)).leave(owner, self.may_hold_something.load(Relaxed) != 0);
        }
        if let Some(pulse) = m.pulse.take() {
            drop(ManuallyDrop::into_inner(pulse));
        }
        fault::point("detach: sign of life dropped");
        if self.header.lifetime == Lifetime::WhileOpen {
            remove_if_unused(&self.file, &self.name, &self.location, &self.facts);
        }
    }

    /// Says whether this process may hold something when it leaves: a lease or reservation that nobody will settle.
    pub fn note_hold(&self, may_hold_something: bool) {
        self.may_hold_something.store(u32::from(may_hold_something), Relaxed);
    }

    /// `Removed` if the name is gone: newcomers would meet in another segment than this one.
    ///
    /// # Errors
    /// `Removed`, or `Os` if the file cannot be asked.
    pub fn check_still_named(&self) -> Result<()> {
        let is_nameless = || Ok(self.file.facts(&self.name)?.links == 0 && Remedy::NoNameIsNoticed.is_on());
        if self.control().status.load(Relaxed) & UNLINKED != 0 || is_nameless()? {
            return Err(Error::Removed { name: self.name.clone() });
        }
        Ok(())
    }

    /// Removes the name. Who is attached goes on until he next has to wait; then he learns of it.
    ///
    /// # Errors
    /// `NotFound` if the name is gone or names another segment by now; `Os`.
    pub fn unlink(&self) -> Result<()> {
        if !sys::unlink_if_same(&self.location.path, &self.facts)? {
            return Err(Error::NotFound { name: self.name.clone() });
        }
        fault::point("unlink: name removed");
        self.control().status.fetch_or(UNLINKED, AcqRel);
        Ok(())
    }

    /// Marks the segment as damaged for everybody, and says so.
    pub fn poison(&self, what: impl Into<String>) -> Error {
        self.control().status.fetch_or(POISONED, AcqRel);
        self.corrupted(what)
    }

    /// Says that the bytes cannot be.
    pub fn corrupted(&self, what: impl Into<String>) -> Error {
        Error::Corrupted { name: self.name.clone(), what: what.into() }
    }

    /// The bytes' place in the system: (file length, committed bytes).
    ///
    /// # Errors
    /// `Removed`, `Os`.
    pub fn extent(&self) -> Result<(u64, u64)> {
        let facts = self.file.facts(&self.name)?;
        Ok((facts.len, facts.committed))
    }

    /// True if the machine was restarted since the words of this segment were last used.
    #[must_use]
    pub fn is_from_another_boot(&self) -> bool {
        let id = sys::host().boot_id;
        Remedy::StartIsNoted.is_on() && self.control().boot.iter().zip(id).any(|(word, now)| word.load(Acquire) != now)
    }

    /// Notes that the words of this segment are of this boot. Last step of the recovery after a restart.
    pub fn note_boot(&self) {
        for (word, id) in self.control().boot.iter().zip(sys::host().boot_id) {
            word.store(id, Release);
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        OPEN.with(|open| open.retain(|other| other.strong_count() > 0));
    }
}

/// Removes a name that nobody uses. While the signs of life are held, nobody can begin to.
fn remove_if_unused(file: &File, name: &str, location: &Location, facts: &Facts) -> bool {
    let remove = || {
        fault::point("remove: nobody can come");
        sys::unlink_if_same(&location.path, facts).unwrap_or(false)
    };
    if !Remedy::LifeBeforeRemoval.is_on() {
        return remove();
    }
    if !Remedy::NobodyComesMeanwhile.is_on() {
        return !Pulse::is_any_held(file, name, PARTICIPANTS) && remove();
    }
    Pulse::while_dead(file, name, 1, PARTICIPANTS, remove).unwrap_or(false)
}

/// A segment looked at from outside, without attaching.
#[derive(Debug)]
pub struct Glimpse {
    /// What its fixed page says.
    pub header: Header,
    /// Its bytes, for reading.
    pub map: Map,
    /// Its file.
    pub file: File,
    /// What the kernel says of the file.
    pub facts: Facts,
    /// Where it lies.
    pub location: Location,
}

impl Glimpse {
    /// Looks at what lies at `location`.
    ///
    /// # Errors
    /// As [`Attachment::open`], but for `TooManyProcesses`.
    pub fn at(location: &Location) -> Result<Glimpse> {
        let name = &location.name;
        let (file, facts) = File::open(name, &location.path)?;
        check_trust(location, &facts, Trust::OwnOnly)?;
        file.check_file_system(name)?;
        let header = check_fixed(name, &read_fixed(&file, name)?)?;
        check_extent(name, &header, &file, &facts)?;
        let map = file.map(name, crate::layout::BODY_AT, false)?;
        Ok(Glimpse { header, map, file, facts, location: location.clone() })
    }

    /// The words all kinds share.
    #[must_use]
    pub fn control(&self) -> &Control {
        control_of(&self.map)
    }

    /// The table of participants, seen from outside.
    #[must_use]
    pub fn table(&self) -> Table<'_> {
        // SAFETY: as in `Segment::table_seen_by`; this map is BODY_AT long.
        let entries = unsafe {
            std::slice::from_raw_parts(self.map.base().add(TABLE_AT).cast::<Entry>(), PARTICIPANTS as usize + 1)
        };
        Table { control: self.control(), entries, file: &self.file, name: &self.location.name, me: None }
    }

    /// True if nobody living uses it.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        !Pulse::is_any_held(&self.file, &self.location.name, PARTICIPANTS)
    }

    /// Removes the name unless somebody uses it. Returns whether it did.
    #[must_use]
    pub fn remove_if_unused(&self) -> bool {
        OPEN.with(|_| remove_if_unused(&self.file, &self.location.name, &self.location, &self.facts))
    }

    /// Removes the name.
    ///
    /// # Errors
    /// `NotFound` if it is gone by now; `Os`.
    pub fn unlink(&self) -> Result<()> {
        if !sys::unlink_if_same(&self.location.path, &self.facts)? {
            return Err(Error::NotFound { name: self.location.name.clone() });
        }
        Ok(())
    }
}
