//! What making an object and attaching to one have in common for all kinds: open or else make, and insist on what was asked for.

use crate::error::{Error, Result};
use crate::layout::{BODY_AT, Kind, PAGE, PARAMS};
use crate::name::Location;
use crate::segment::{Attachment, Blueprint, Lifetime, Trust};
use std::fmt::Display;

/// Rounds of open and make before we say that somebody makes and removes the name all the time.
const TRIES: u32 = 100;

/// Length of a segment whose kind needs nothing beyond the control lines.
pub(crate) const SMALL_BYTES: u64 = (BODY_AT.div_ceil(PAGE) * PAGE) as u64;

/// Opens what is there, or makes it if nothing is. The flag tells whether it was made.
///
/// # Errors
/// What the two return, but for `NotFound` of the one and `Exists` of the other.
pub(crate) fn open_or_create<T>(
    name: &str,
    open: impl Fn() -> Result<T>,
    create: impl Fn() -> Result<T>,
) -> Result<(T, bool)> {
    for _ in 0..TRIES {
        match open() {
            Err(Error::NotFound { .. }) => {}
            opened => return opened.map(|object| (object, false)),
        }
        match create() {
            Err(Error::Exists { .. }) => {}
            created => return created.map(|object| (object, true)),
        }
    }
    Err(Error::Exists { name: name.to_owned() })
}

/// Makes an object that is its control lines and nothing else: no words but zeros, unless `fill` writes some.
pub(crate) fn create_small(
    location: &Location,
    kind: Kind,
    lifetime: Lifetime,
    params: [u64; PARAMS],
    fill: impl FnOnce(&crate::sys::Map),
) -> Result<Attachment> {
    let blueprint = Blueprint {
        kind,
        lifetime,
        params,
        item: String::new(),
        total_bytes: SMALL_BYTES,
        committed_bytes: SMALL_BYTES,
    };
    Attachment::create(location, &blueprint, fill)
}

/// Attaches to an object of any kind but a queue, and forgets those who died in it: there is nothing to repair.
pub(crate) fn open_simple(
    location: &Location,
    kind: Kind,
    lifetime: Option<Lifetime>,
    trust: Trust,
) -> Result<Attachment> {
    let attachment = Attachment::open(location, trust)?;
    check_kind(&attachment, kind)?;
    let segment = attachment.segment();
    if segment.header().committed_bytes != segment.header().total_bytes {
        return Err(segment.corrupted("not all is in use that has to be"));
    }
    check_lifetime(&location.name, segment.header().lifetime, lifetime)?;
    let table = segment.table()?;
    table.forget(&table.dead(), 0);
    Ok(attachment)
}

/// # Errors
/// `Mismatch` if something of another kind lies under the name.
pub(crate) fn check_kind(attachment: &Attachment, want: Kind) -> Result<()> {
    let segment = attachment.segment();
    let have = segment.header().kind;
    if have == want { Ok(()) } else { Err(mismatch(segment.name(), "kind", have.word(), want.word())) }
}

/// # Errors
/// `Mismatch` if another lifetime is wanted than there is.
pub(crate) fn check_lifetime(name: &str, have: Lifetime, want: Option<Lifetime>) -> Result<()> {
    check_same(name, "lifetime", &word(have), want.map(word))
}

/// # Errors
/// `Mismatch` if another value is wanted than there is; `None` takes any.
pub(crate) fn check_same<T: PartialEq + Display>(
    name: &str,
    what: &'static str,
    have: &T,
    want: Option<T>,
) -> Result<()> {
    match want {
        Some(want) if want != *have => Err(mismatch(name, what, have, &want)),
        _ => Ok(()),
    }
}

fn mismatch<T: Display + ?Sized>(name: &str, what: &'static str, have: &T, want: &T) -> Error {
    Error::Mismatch { name: name.to_owned(), what, have: have.to_string(), want: want.to_string() }
}

fn word(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::UntilUnlinked => "until_unlinked",
        Lifetime::WhileOpen => "while_open",
    }
}
