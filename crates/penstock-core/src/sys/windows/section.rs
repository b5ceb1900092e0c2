//! Memory of the page file: it goes with its last user, however that one went, and no disk ever sees it.
//!
//! A section has no bytes to lock and no place in a directory. So a file of a few bytes stands for it: it has the name
//! and the signs of life, and says which section is meant. Where the section is gone, that file means nothing any more.
//!
//! The section is reserved whole and committed piece by piece, for all processes at once; what is committed stays so.
//! It is known within one session of the user, as everything is that has no `Global\` in its name: making such a section
//! there takes a right that few programs have.

use super::trust::{Private, owner_of_object};
use super::{last_error, os_error, wide_text};
use crate::error::{Error, Result};
use crate::layout::PAGE;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_COMMITMENT_LIMIT, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, HANDLE,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::READ_CONTROL;
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_READ, FILE_MAP_WRITE, MEM_COMMIT, MEMORY_BASIC_INFORMATION,
    MEMORY_MAPPED_VIEW_ADDRESS, MapViewOfFile, OpenFileMappingW, PAGE_READWRITE, SEC_RESERVE, UnmapViewOfFile,
    VirtualAlloc, VirtualQuery,
};

/// A view of the bytes of a section.
#[derive(Debug)]
pub(super) struct View {
    base: *mut u8,
}

impl View {
    /// Maps the first `len` bytes of an open section; `None` if it has not so many, or there is no address space.
    pub fn of(section: HANDLE, len: usize, writable: bool) -> Option<View> {
        let access = if writable { FILE_MAP_READ | FILE_MAP_WRITE } else { FILE_MAP_READ };
        // SAFETY: a new view at an address of the system's choice.
        let view = unsafe { MapViewOfFile(section, access, 0, 0, len) };
        (!view.Value.is_null()).then(|| View { base: view.Value.cast() })
    }

    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The length of the range of pages at `offset` that are alike, up to `len`, and whether they are committed.
    fn range_at(&self, offset: usize, len: usize) -> Option<(usize, bool)> {
        let mut found = MEMORY_BASIC_INFORMATION::default();
        // SAFETY: only the address is used, and `found` is a valid place for the answer.
        let told = unsafe {
            VirtualQuery(self.base.wrapping_add(offset).cast(), &raw mut found, size_of::<MEMORY_BASIC_INFORMATION>())
        };
        let from_base = found.BaseAddress as usize;
        let skipped = (self.base as usize + offset).checked_sub(from_base)?;
        let length = found.RegionSize.checked_sub(skipped)?.min(len - offset);
        (told != 0 && length > 0).then_some((length, found.State == MEM_COMMIT))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: made by MapViewOfFile, and nobody holds a pointer into it past its life.
        unsafe { UnmapViewOfFile(MEMORY_MAPPED_VIEW_ADDRESS { Value: self.base.cast() }) };
    }
}

/// A section is longer by so much than was asked for: Wine forgets a commitment that reaches the end of a view, so that
/// other processes would fault there.
const SPARE: u64 = 2 * PAGE as u64;

/// What the file says that stands for a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    id: u128,
    len: u64,
}

impl Record {
    pub const BYTES: usize = 32;
    const MAGIC: [u8; 8] = *b"pnstksec";

    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..24].copy_from_slice(&self.id.to_le_bytes());
        bytes[24..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are those of something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Record> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (id, rest) = rest.split_first_chunk::<16>()?;
        let len = rest.first_chunk::<8>()?;
        let record = Record { id: u128::from_le_bytes(*id), len: u64::from_le_bytes(*len) };
        (*magic == Self::MAGIC).then_some(record)
    }

    fn section_name(self) -> Vec<u16> {
        wide_text(&format!("Local\\penstock-{:032x}", self.id))
    }
}

/// An open section. Its name lives while somebody has it open, so it is held as long as it is used.
#[derive(Debug)]
pub(super) struct Section {
    handle: OwnedHandle,
    len: usize,
}

impl Section {
    /// Makes one of `len` bytes, none of them committed, for this user alone; and says what shall stand for it.
    ///
    /// # Errors
    /// `NoSpace`, `Os`.
    pub fn make(name: &str, len: u64) -> Result<(Section, Record)> {
        let no_space = || Error::NoSpace { name: name.to_owned(), bytes: len };
        let size = usize::try_from(len).map_err(|_| no_space())?;
        let whole = len.checked_add(SPARE).ok_or_else(no_space)?;
        let private = Private::new("").map_err(|errno| Error::Os {
            name: name.to_owned(),
            what: "making its memory private",
            errno: errno.cast_signed(),
        })?;
        let attributes = private.attributes();
        let record = Record { id: unlikely_twice(), len };
        #[allow(clippy::cast_possible_truncation, reason = "the halves of the length")]
        let (high, low) = ((whole >> 32) as u32, whole as u32);
        // SAFETY: attributes and a name that live through the call.
        let made = unsafe {
            CreateFileMappingW(
                INVALID_HANDLE_VALUE,
                &raw const attributes,
                PAGE_READWRITE | SEC_RESERVE,
                high,
                low,
                record.section_name().as_ptr(),
            )
        };
        let errno = last_error();
        if made.is_null() {
            return Err(if is_no_memory(errno) { no_space() } else { os_error(name, "making its memory") });
        }
        // SAFETY: made just above, and ours.
        let handle = unsafe { OwnedHandle::from_raw_handle(made) };
        if errno == ERROR_ALREADY_EXISTS {
            return Err(os_error(name, "making its memory")); // somebody's who guessed the name
        }
        Ok((Section { handle, len: size }, record))
    }

    /// Opens the one that is meant; `None` if there is none in this session.
    ///
    /// # Errors
    /// `Untrusted` for one that another user has made; `Corrupted`.
    pub fn open(name: &str, record: Record) -> Result<Option<Section>> {
        let rights = FILE_MAP_READ | FILE_MAP_WRITE | READ_CONTROL;
        // SAFETY: a name that ends with a NUL.
        let opened = unsafe { OpenFileMappingW(rights, 0, record.section_name().as_ptr()) };
        if opened.is_null() {
            return Ok(None);
        }
        // SAFETY: opened just above, and ours.
        let handle = unsafe { OwnedHandle::from_raw_handle(opened) };
        if owner_of_object(handle.as_raw_handle()) != Ok(super::user_id()) {
            return Err(Error::Untrusted { name: name.to_owned(), what: "its memory is another user's".into() });
        }
        let len = usize::try_from(record.len).ok().filter(|len| *len > 0 && *len < usize::MAX - SPARE as usize);
        let section = len.map(|len| Section { handle, len });
        match section.filter(|section| section.whole_view(false).is_some()) {
            Some(section) => Ok(Some(section)),
            None => Err(Error::Corrupted {
                name: name.to_owned(),
                what: format!("its memory has not the {} bytes that its file says", record.len),
            }),
        }
    }

    pub fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// How many bytes are committed. 0 if they cannot be counted.
    pub fn committed(&self) -> u64 {
        let Some(view) = self.whole_view(false) else { return 0 };
        let (mut at, mut sum) = (0, 0);
        while at < self.len {
            let Some((length, is_committed)) = view.range_at(at, self.len) else { break };
            sum += if is_committed { length as u64 } else { 0 };
            at += length;
        }
        sum
    }

    /// A view of all of it, spare bytes included.
    fn whole_view(&self, writable: bool) -> Option<View> {
        View::of(self.raw(), self.len + SPARE as usize, writable)
    }

    /// Commits a range, for every process. What is committed already stays as it is.
    ///
    /// # Errors
    /// `NoSpace`, `Os`.
    pub fn commit(&self, name: &str, offset: u64, bytes: u64) -> Result<()> {
        let end = usize::try_from(offset.saturating_add(bytes)).unwrap_or(usize::MAX).min(self.len);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset >= end {
            return Ok(());
        }
        let no_space = || Error::NoSpace { name: name.to_owned(), bytes };
        let view = self.whole_view(true).ok_or_else(no_space)?;
        let from = view.base().wrapping_add(offset).cast();
        // SAFETY: the range lies inside the view, and committing changes no byte that anybody could have read.
        if unsafe { VirtualAlloc(from, end - offset, MEM_COMMIT, PAGE_READWRITE) }.is_null() {
            return Err(if is_no_memory(last_error()) { no_space() } else { os_error(name, "committing its memory") });
        }
        Ok(())
    }

    /// Reads up to `out.len()` bytes at the start, as far as they are committed; returns how many there were.
    pub fn read_start(&self, out: &mut [u8]) -> usize {
        let Some(view) = self.whole_view(false) else { return 0 };
        let Some((length, true)) = view.range_at(0, self.len) else { return 0 };
        let count = length.min(out.len());
        // SAFETY: so many bytes are committed there; whoever writes them meanwhile is found out by their check.
        unsafe { ptr::copy_nonoverlapping(view.base(), out.as_mut_ptr(), count) };
        count
    }
}

fn is_no_memory(errno: u32) -> bool {
    matches!(errno, ERROR_COMMITMENT_LIMIT | ERROR_NOT_ENOUGH_MEMORY | ERROR_NO_SYSTEM_RESOURCES)
}

/// A number that nobody else uses for a section, and that cannot be guessed.
fn unlikely_twice() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher(); // keyed by the system's randomness
        hasher.write_u64(salt);
        hasher.finish()
    };
    u128::from(half(u64::from(super::process_id()))) << 64 | u128::from(half(super::unix_ms()))
}
