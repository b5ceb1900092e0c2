//! Shared bytes: under a name, or those of a file.
//!
//! Named memory is a segment like any other (header, control lines, table of participants) with the data behind it, at a
//! page of its own, committed when it is made. A file of the user's own is mapped as it is: nothing of ours is in it, it
//! need not lie on one of the file systems that segments need, and nobody registers.
//!
//! Nothing orders what several write at once, and nothing is repaired: every byte that was written stays.

use crate::error::{Error, Result};
use crate::layout::{BODY_AT, Kind, PAGE, PARAMS};
use crate::name::Location;
use crate::opening;
use crate::segment::{Attachment, Blueprint, Lifetime, Segment, Trust};
use crate::sys::{self, Facts, Map};
use std::path::Path;
use std::sync::Arc;

/// Where the data of named memory starts.
pub const DATA_AT: usize = BODY_AT.div_ceil(PAGE) * PAGE;

/// Largest size of named memory.
pub const SIZE_MAX: u64 = 1 << 46;

/// A handle on shared bytes. They stay mapped while it, or an `Arc` of its [`Bytes`], lives; also when it is closed.
#[derive(Debug)]
pub struct Mapping {
    place: Place,
    bytes: Arc<Bytes>,
}

#[derive(Debug)]
enum Place {
    Named(Attachment),
    File { location: Location, facts: Facts, writable: bool },
}

/// The mapped bytes themselves.
#[derive(Debug)]
pub struct Bytes {
    source: Source,
    offset: usize,
    len: usize,
}

#[derive(Debug)]
enum Source {
    Named(Arc<Segment>),
    File(Map),
}

impl Bytes {
    fn map(&self) -> &Map {
        match &self.source {
            Source::Named(segment) => segment.bytes(),
            Source::File(map) => map,
        }
    }

    /// The first byte: `len()` of them are mapped from here on while `self` lives. Anybody may be writing them.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        // SAFETY: offset + len lies inside the map; checked when `self` was made.
        unsafe { self.map().base().add(self.offset) }
    }

    /// How many there are; never 0.
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

impl Mapping {
    /// Makes named memory: zeros, all of them given by the file system at once.
    ///
    /// # Errors
    /// `BadValue` for a size out of range; else as [`Attachment::create`]. Nothing is left behind.
    pub fn create(location: &Location, size: u64, lifetime: Lifetime) -> Result<Mapping> {
        if !(1..=SIZE_MAX).contains(&size) {
            return Err(bad_size(size.to_string(), format!("between 1 and {SIZE_MAX}")));
        }
        let mut params = [0; PARAMS];
        params[0] = size;
        let total_bytes = total_for(size);
        let blueprint = Blueprint {
            kind: Kind::Mapping,
            lifetime,
            params,
            item: String::new(),
            total_bytes,
            committed_bytes: total_bytes,
        };
        Mapping::on(Attachment::create(location, &blueprint, |_| {})?)
    }

    /// Attaches to named memory.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` naming both values, and as [`Attachment::open`]. Nothing changed.
    pub fn open(location: &Location, size: Option<u64>, lifetime: Option<Lifetime>, trust: Trust) -> Result<Mapping> {
        let attachment = opening::open_simple(location, Kind::Mapping, lifetime, trust)?;
        opening::check_same(&location.name, "size", &attachment.segment().header().params[0], size)?;
        Mapping::on(attachment)
    }

    /// Attaches to named memory, or makes it if there is none: until unlinked unless said otherwise.
    ///
    /// # Errors
    /// As `open` and `create`, but for `NotFound` and `Exists`; `BadValue` if it must be made and no size was given.
    /// The flag tells whether it was made.
    pub fn open_or_create(
        location: &Location,
        size: Option<u64>,
        lifetime: Option<Lifetime>,
        trust: Trust,
    ) -> Result<(Mapping, bool)> {
        opening::open_or_create(
            &location.name,
            || Mapping::open(location, size, lifetime, trust),
            || {
                let given = size.ok_or_else(|| {
                    bad_size("missing".to_owned(), format!("given, for there is no '{}' yet", location.name))
                })?;
                Mapping::create(location, given, lifetime.unwrap_or(Lifetime::UntilUnlinked))
            },
        )
    }

    /// Maps a file of the user's own from its beginning: so many bytes, or all there are. See [`sys::map_plain_file`].
    ///
    /// # Errors
    /// As [`sys::map_plain_file`].
    pub fn of_file(location: &Location, size: Option<u64>, writable: bool) -> Result<Mapping> {
        let (map, facts) = sys::map_plain_file(&location.name, &location.path, size, writable)?;
        let len = map.len();
        Ok(Mapping {
            place: Place::File { location: location.clone(), facts, writable },
            bytes: Arc::new(Bytes { source: Source::File(map), offset: 0, len }),
        })
    }

    fn on(attachment: Attachment) -> Result<Mapping> {
        let segment = Arc::clone(attachment.segment());
        let size = segment.header().params[0];
        let is_right = (1..=SIZE_MAX).contains(&size) && segment.header().total_bytes == total_for(size);
        let len = usize::try_from(size).ok().filter(|len| is_right && DATA_AT + len <= segment.bytes().len());
        let len = len.ok_or_else(|| segment.corrupted("its sizes do not fit together"))?;
        let bytes = Bytes { source: Source::Named(segment), offset: DATA_AT, len };
        Ok(Mapping { place: Place::Named(attachment), bytes: Arc::new(bytes) })
    }

    /// The name that messages show; a file's is its path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.location().name
    }

    /// The file, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.location().path
    }

    fn location(&self) -> &Location {
        match &self.place {
            Place::Named(attachment) => attachment.segment().location(),
            Place::File { location, .. } => location,
        }
    }

    /// The segment, unless it is a file of the user's own.
    #[must_use]
    pub fn segment(&self) -> Option<&Arc<Segment>> {
        match &self.place {
            Place::Named(attachment) => Some(attachment.segment()),
            Place::File { .. } => None,
        }
    }

    /// The bytes, for keeping them mapped beyond the handle.
    #[must_use]
    pub fn bytes(&self) -> &Arc<Bytes> {
        &self.bytes
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.bytes.base()
    }

    /// How many bytes there are; never 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len
    }

    /// Never true.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the bytes may be written. A store into others is a fault.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        matches!(self.place, Place::Named(_) | Place::File { writable: true, .. })
    }

    /// How long it stays.
    #[must_use]
    pub fn lifetime(&self) -> Lifetime {
        self.segment().map_or(Lifetime::UntilUnlinked, |segment| segment.header().lifetime)
    }

    /// Writes bytes back to the file and waits until they are there. For memory that has no disk, nothing happens.
    ///
    /// # Errors
    /// `BadValue` if they do not all lie inside; `Os`.
    pub fn flush(&self, offset: usize, bytes: usize) -> Result<()> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.len()) {
            return Err(Error::BadValue {
                what: "offset + size",
                value: format!("{offset} + {bytes}"),
                limit: format!("at most {}, the size of '{}'", self.len(), self.name()),
            });
        }
        self.bytes.map().flush(self.name(), self.bytes.offset + offset, bytes)
    }

    /// Removes the name, or the file. Who has it mapped keeps his bytes.
    ///
    /// # Errors
    /// `NotFound` if the name is gone, or names something else by now; `Os`.
    pub fn unlink(&self) -> Result<()> {
        match &self.place {
            Place::Named(attachment) => attachment.segment().unlink(),
            Place::File { location, facts, .. } => {
                if sys::unlink_if_same(&location.path, facts)? {
                    Ok(())
                } else {
                    Err(Error::NotFound { name: location.name.clone() })
                }
            }
        }
    }

    /// Gives this handle up. Its bytes stay mapped while anybody holds them.
    pub fn close(&self) {
        if let Place::Named(attachment) = &self.place {
            attachment.close();
        }
    }
}

/// Length of the segment for so many bytes of data; `size` is at most `SIZE_MAX`.
fn total_for(size: u64) -> u64 {
    DATA_AT as u64 + size.div_ceil(PAGE as u64) * PAGE as u64
}

fn bad_size(value: String, limit: String) -> Error {
    Error::BadValue { what: "size", value, limit }
}
