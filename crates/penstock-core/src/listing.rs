//! A directory of names seen as a whole: what lies there, who uses it, and what dead processes left behind.
//!
//! Nobody attaches for that. Whatever lies under a name, it becomes an entry; what cannot be read says why.

use crate::atomic::Ordering::{Acquire, Relaxed};
use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::layout::{KIND_AT, Kind, POISONED, QueueControl};
use crate::name::{Location, name_of};
use crate::rings::between;
use crate::segment::{Glimpse, Lifetime};
use crate::slots::Geometry;
use crate::sys::{self, File, ForkLocked, Pulse};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Between making a file and taking the lock that says it is being built, or between publishing a segment and
/// registering in it, its maker shows no sign of life. So nothing is taken for left behind that is younger than this.
const SETTLED: Duration = Duration::from_secs(60);

/// Serialises this process's acts on the locks of files that it only looks at.
static LOOKING: ForkLocked<()> = ForkLocked::new(());

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its name in the directory.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// What could be read of it.
    pub known: Option<Known>,
    /// Dead processes left it behind, and nobody can use it any more.
    pub is_leftover: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
}

/// What can be read of a segment without attaching to it. May be stale on return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its kind.
    pub kind: Kind,
    /// Items that wait, in a queue.
    pub depth: Option<u64>,
    /// Most items, in a queue.
    pub capacity: Option<u64>,
    /// What an item is, in a queue.
    pub item: Option<String>,
    /// How much memory the file system has given it.
    pub bytes_committed: u64,
    /// When it was made, Unix milliseconds.
    pub created_unix_ms: u64,
    /// The processes that are attached and alive.
    pub attached: Vec<u32>,
    /// How many died attached and were not forgotten yet.
    pub dead: usize,
    /// How long it stays.
    pub lifetime: Lifetime,
}

/// Every entry of `directory`, in the order of the names. One that does not exist has none. Files that are being built
/// are no entries yet.
///
/// # Errors
/// `Os` if the directory cannot be read.
pub fn listing(directory: &Path) -> Result<Vec<Listing>> {
    let failed = |error: std::io::Error| Error::Os {
        name: directory.display().to_string(),
        what: "reading the directory",
        errno: error.raw_os_error().unwrap_or(0),
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = name_of(&entry.file_name().to_string_lossy());
        let location = Location { name, path: entry.path(), is_file: false };
        match inspect(&location) {
            Ok(entry) if !is_unfinished(&location.path) || entry.is_leftover => found.push(entry),
            // Gone since, being built, or not to be told.
            Ok(_) | Err(_) => {}
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The entry of one object.
///
/// # Errors
/// `NotFound` if there is none. Whatever else is wrong stands in the entry.
pub fn inspect(location: &Location) -> Result<Listing> {
    let mut entry = Listing {
        name: location.name.clone(),
        path: location.path.clone(),
        known: None,
        is_leftover: false,
        problem: None,
    };
    if is_unfinished(&location.path) {
        entry.is_leftover = is_given_up(location)?;
        return Ok(entry);
    }
    match Glimpse::at(location) {
        Ok(glimpse) => fill(&mut entry, &glimpse),
        Err(gone @ Error::NotFound { .. }) => return Err(gone),
        Err(error) => entry.problem = Some(error.to_string()),
    }
    Ok(entry)
}

fn fill(entry: &mut Listing, glimpse: &Glimpse) {
    let header = &glimpse.header;
    let (alive, dead): (Vec<_>, Vec<_>) = glimpse.table().list().into_iter().partition(|one| one.is_alive);
    let mut known = Known {
        kind: header.kind,
        depth: None,
        capacity: None,
        item: None,
        bytes_committed: glimpse.facts.committed,
        created_unix_ms: header.created_unix_ms,
        attached: alive.iter().map(|one| one.pid).collect(),
        dead: dead.len(),
        lifetime: header.lifetime,
    };
    if header.kind == Kind::Queue {
        match depth_of(glimpse) {
            Some((depth, capacity)) => {
                (known.depth, known.capacity) = (Some(depth), Some(capacity));
                known.item = Some(header.item.clone());
            }
            None => entry.problem = Some(damaged(entry, "its sizes or counts do not fit together")),
        }
    }
    if glimpse.control().status.load(Acquire) & POISONED != 0 {
        entry.problem = Some(damaged(entry, "a process found it in a state that cannot be"));
    }
    entry.is_leftover = is_left_behind(glimpse);
    entry.known = Some(known);
}

fn damaged(entry: &Listing, what: &str) -> String {
    Error::Corrupted { name: entry.name.clone(), what: what.to_owned() }.to_string()
}

/// A queue's depth and capacity; `None` if its words cannot be.
fn depth_of(glimpse: &Glimpse) -> Option<(u64, u64)> {
    const LOOKS: u32 = 1000;
    let plan = Geometry::from_params(&glimpse.header.params, glimpse.header.total_bytes)?;
    // SAFETY: a glimpse maps BODY_AT bytes, and the control lines lie before that, aligned to a line; atomics only.
    let control: &QueueControl = unsafe { &*glimpse.map.base().add(KIND_AT).cast() };
    for _ in 0..LOOKS {
        let head = control.get.ready_head.load(Acquire);
        let depth = between(head, control.ready.tail.load(Acquire), plan.slots);
        if let (Ok(depth), true) = (depth, control.get.ready_head.load(Acquire) == head) {
            return Some((depth, plan.capacity));
        }
        std::hint::spin_loop();
    }
    None
}

/// Gone with its last user it should be, and has none. One that nobody ever registered in may be just being made.
fn is_left_behind(glimpse: &Glimpse) -> bool {
    let is_unused = glimpse.is_unused() || !Remedy::LifeBeforeRemoval.is_on();
    if glimpse.header.lifetime != Lifetime::WhileOpen || !is_unused {
        return false;
    }
    let was_used = glimpse.control().cursor.load(Relaxed) != 0;
    was_used || is_settled(&glimpse.location.path)
}

/// Removes a name, without attaching. A damaged segment goes too, and one of a later version; what is not a segment
/// at all does not.
///
/// # Errors
/// `NotFound`, `Foreign`, `Untrusted`, `Os`. Nothing changed.
pub fn remove(location: &Location) -> Result<()> {
    match Glimpse::at(location) {
        Ok(glimpse) => return glimpse.unlink(),
        Err(Error::Corrupted { .. } | Error::NewerVersion { .. } | Error::Unsupported { .. }) => {}
        Err(error) => return Err(error),
    }
    let (_, facts) = File::open(&location.name, &location.path)?;
    if sys::unlink_if_same(&location.path, &facts)? {
        Ok(())
    } else {
        Err(Error::NotFound { name: location.name.clone() })
    }
}

/// Removes from `directory` what dead processes left behind. Returns the names. Nobody living is disturbed: each is
/// looked at once more while the locks are held that its users, or its maker, would need.
///
/// # Errors
/// As [`listing`].
pub fn remove_stale(directory: &Path) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in listing(directory)?.into_iter().filter(|entry| entry.is_leftover) {
        let location = Location { name: entry.name.clone(), path: entry.path, is_file: false };
        let is_gone = if is_unfinished(&location.path) {
            remove_if_given_up(&location)
        } else {
            Glimpse::at(&location).is_ok_and(|glimpse| is_left_behind(&glimpse) && glimpse.remove_if_unused())
        };
        if is_gone {
            removed.push(entry.name);
        }
    }
    Ok(removed)
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(sys::UNFINISHED))
}

/// Whether nobody builds that file any more.
fn is_given_up(location: &Location) -> Result<bool> {
    let (file, facts) = match File::open(&location.name, &location.path) {
        Ok(opened) => opened,
        Err(gone @ Error::NotFound { .. }) => return Err(gone),
        Err(_) => return Ok(false),
    };
    let is_ours = facts.user == sys::user_id();
    Ok(is_ours && is_settled(&location.path) && !Pulse::is_held(&file, &location.name, sys::BUILDER))
}

fn remove_if_given_up(location: &Location) -> bool {
    let Ok((file, facts)) = File::open(&location.name, &location.path) else { return false };
    let remove = || sys::unlink_if_same(&location.path, &facts).unwrap_or(false);
    LOOKING.with(|()| Pulse::while_dead(&file, &location.name, sys::BUILDER, 1, remove)).unwrap_or(false)
}

/// Old enough for its maker to have shown a sign of life. What is from the future is not.
fn is_settled(path: &Path) -> bool {
    let modified = std::fs::symlink_metadata(path).and_then(|facts| facts.modified());
    modified.is_ok_and(|then| SystemTime::now().duration_since(then).is_ok_and(|age| age >= SETTLED))
}
