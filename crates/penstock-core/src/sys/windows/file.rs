//! Files and their maps.

use super::map::Map;
use super::pulse::lock_all;
use super::section::{Record, Section};
use super::trust::owner_and_mode;
use super::{last_error, os_error, sleeping, wide};
use crate::error::{Error, Result};
use crate::sys::Facts;
use std::ffi::c_void;
use std::mem::{offset_of, size_of};
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_FILE_NOT_FOUND, ERROR_HANDLE_EOF, ERROR_PATH_NOT_FOUND,
    GENERIC_READ, GENERIC_WRITE, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CREATE_NEW, CreateFileW, DELETE, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_NORMAL,
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_ATTRIBUTE_SPARSE_FILE, FILE_DISPOSITION_FLAG_DELETE,
    FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE, FILE_DISPOSITION_FLAG_POSIX_SEMANTICS, FILE_DISPOSITION_INFO_EX,
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_READ_ATTRIBUTES, FILE_RENAME_INFO,
    FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_STANDARD_INFO, FILE_TYPE_DISK, FileDispositionInfoEx,
    FileRenameInfo, FileStandardInfo, GetFileInformationByHandle, GetFileInformationByHandleEx, GetFileType,
    GetVolumeInformationByHandleW, OPEN_EXISTING, READ_CONTROL, ReadFile, SetFileInformationByHandle, WriteFile,
};
use windows_sys::Win32::System::IO::{DeviceIoControl, OVERLAPPED};
use windows_sys::Win32::System::Ioctl::{FILE_ALLOCATED_RANGE_BUFFER, FSCTL_QUERY_ALLOCATED_RANGES};

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To see what it is.
    Look,
    /// To read its bytes.
    Read,
    /// To read and write them.
    Write,
    /// The same, and it must not be there yet.
    New,
    /// To use it in every way, and to rename or remove it. Then only those can open it who let others remove it: not the user's
    /// other programs.
    Whole,
    /// The same, and it must not be there yet.
    Make,
}

/// Opens `path` itself, not what a link there names. Whoever has it open shares everything, or nobody could remove it.
pub(super) fn open_raw(path: &Path, access: Access) -> std::result::Result<OwnedHandle, u32> {
    open_with(path, access, FILE_FLAG_OPEN_REPARSE_POINT, ptr::null())
}

pub(super) fn open_with(
    path: &Path,
    access: Access,
    flags: u32,
    attributes: *const SECURITY_ATTRIBUTES,
) -> std::result::Result<OwnedHandle, u32> {
    let rights = match access {
        Access::Look => FILE_READ_ATTRIBUTES | READ_CONTROL,
        Access::Read => GENERIC_READ,
        Access::Write | Access::New => GENERIC_READ | GENERIC_WRITE,
        Access::Whole | Access::Make => GENERIC_READ | GENERIC_WRITE | DELETE,
    };
    // SAFETY: a path that ends with a NUL; the attributes are null or live through the call.
    let handle = unsafe {
        CreateFileW(
            wide(path).as_ptr(),
            rights,
            FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
            attributes,
            if matches!(access, Access::Make | Access::New) { CREATE_NEW } else { OPEN_EXISTING },
            FILE_ATTRIBUTE_NORMAL | FILE_FLAG_BACKUP_SEMANTICS | flags,
            ptr::null_mut(),
        )
    };
    if handle == INVALID_HANDLE_VALUE {
        return Err(last_error());
    }
    // SAFETY: opened just above, and ours.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// What a handle names, without its bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    pub device: u64,
    pub inode: u64,
    pub links: u64,
    pub len: u64,
    pub is_directory: bool,
    pub is_link: bool,
    pub is_sparse: bool,
}

impl Identity {
    fn is_of(&self, facts: &Facts) -> bool {
        self.device == facts.device && self.inode == facts.inode
    }
}

pub(super) fn identify(handle: HANDLE) -> Option<Identity> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: `found` is a valid place for the answer.
    if unsafe { GetFileInformationByHandle(handle, &raw mut found) } == 0 {
        return None;
    }
    let whole = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    Some(Identity {
        device: found.dwVolumeSerialNumber.into(),
        inode: whole(found.nFileIndexHigh, found.nFileIndexLow),
        links: found.nNumberOfLinks.into(),
        len: whole(found.nFileSizeHigh, found.nFileSizeLow),
        is_directory: found.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0,
        is_link: found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0,
        is_sparse: found.dwFileAttributes & FILE_ATTRIBUTE_SPARSE_FILE != 0,
    })
}

pub(super) fn facts_of(handle: HANDLE, name: &str) -> Result<Facts> {
    let failed = || os_error(name, "looking at it");
    let found = identify(handle).ok_or_else(failed)?;
    let mut standard = FILE_STANDARD_INFO::default();
    // SAFETY: `standard` is a valid place for the answer, of the length given.
    let told = unsafe {
        GetFileInformationByHandleEx(
            handle,
            FileStandardInfo,
            (&raw mut standard).cast(),
            size_u32::<FILE_STANDARD_INFO>(),
        )
    };
    if told == 0 {
        return Err(failed());
    }
    let (user, mode) = owner_and_mode(handle).map_err(|errno| Error::Os {
        name: name.to_owned(),
        what: "asking for its owner",
        errno: errno.cast_signed(),
    })?;
    Ok(Facts {
        device: found.device,
        inode: found.inode,
        links: if standard.DeletePending { 0 } else { found.links },
        user,
        mode,
        len: found.len,
        committed: standard.AllocationSize.unsigned_abs(),
        is_regular: !found.is_directory && !found.is_link,
    })
}

fn size_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(0)
}

/// An open file of ours.
#[derive(Debug)]
pub struct File {
    handle: OwnedHandle,
    path: PathBuf,
    facts: Facts,
    /// What it stands for, if its bytes are not its own.
    section: Option<Section>,
}

/// How often to look again for a section whose users live, and after how long: the last one may just be going.
const LOOKS_WHILE_USERS_GO: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

impl File {
    /// Opens `path` without following a link.
    ///
    /// # Errors
    /// `NotFound`, `Foreign` for anything but a regular file, `Untrusted` where access is denied, else `Os`.
    pub fn open(name: &str, path: &Path) -> Result<(File, Facts)> {
        let handle = open_raw(path, Access::Whole)
            .map_err(|errno| refused(name, errno, "this user may not read and write it"))?;
        let (mut file, facts) = File::from_handle(name, path, handle)?;
        let mut start = [0; Record::BYTES];
        let read = file.read_start(name, &mut start)?;
        let Some(record) = Record::from_bytes(&start[..read]) else { return Ok((file, facts)) };
        file.section = Some(file.find_section(name, record)?);
        let facts = file.with_section(facts);
        Ok((file, facts))
    }

    /// Opens the section that the file stands for. Without one the file means nothing any more, and goes.
    fn find_section(&self, name: &str, record: Record) -> Result<Section> {
        for _ in 0..LOOKS_WHILE_USERS_GO {
            if let Some(section) = Section::open(name, record)? {
                return Ok(section);
            }
            let remove = || unlink_if_same(&self.path, &self.facts);
            if let Some(removed) = lock_all(self.raw(), remove) {
                removed?;
                return Err(Error::NotFound { name: name.to_owned() });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(Error::Unsupported {
            name: name.to_owned(),
            what: "it lives while it is open, in another session of this user, whose memory this one cannot reach; \
                   make it there with lifetime='until_unlinked'"
                .into(),
        })
    }

    /// Has the file, just made, stand for a section.
    ///
    /// # Errors
    /// `NoSpace`, `Os`.
    pub(super) fn stand_for(&mut self, name: &str, section: Section, record: Record) -> Result<()> {
        self.write_at(name, 0, &record.to_bytes(), "noting its memory")?;
        self.section = Some(section);
        Ok(())
    }

    fn with_section(&self, facts: Facts) -> Facts {
        match &self.section {
            Some(section) => Facts { len: section.len() as u64, committed: section.committed(), ..facts },
            None => facts,
        }
    }

    pub(super) fn from_handle(name: &str, path: &Path, handle: OwnedHandle) -> Result<(File, Facts)> {
        let foreign = |what: &str| Err(Error::Foreign { name: name.to_owned(), what: what.to_owned() });
        // SAFETY: the handle is open.
        if unsafe { GetFileType(handle.as_raw_handle()) } != FILE_TYPE_DISK {
            return foreign("a pipe or device");
        }
        let found = identify(handle.as_raw_handle()).ok_or_else(|| os_error(name, "looking at it"))?;
        if found.is_link {
            return foreign("a symbolic link");
        }
        if found.is_directory {
            return foreign("a directory");
        }
        let facts = facts_of(handle.as_raw_handle(), name)?;
        Ok((File { handle, path: path.to_owned(), facts, section: None }, facts))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.handle.as_raw_handle()
    }

    /// The facts as they are now. A name that is another file's by now, or nobody's, does not count as a link: what was
    /// removed may keep one, hidden, until its last user is gone.
    ///
    /// # Errors
    /// `Os`.
    pub fn facts(&self, name: &str) -> Result<Facts> {
        let mut facts = facts_of(self.raw(), name)?;
        if !self.is_at_its_path() {
            facts.links = 0;
        }
        Ok(self.with_section(facts))
    }

    /// Has the file system give the bytes now, so that a later store cannot be how we find out that it is full. A file
    /// has its bytes unless it is sparse; there, a hole that zeros are written to is one no more.
    ///
    /// # Errors
    /// `NoSpace`, or `Os`. Bytes given so far stay given.
    pub fn commit(&self, name: &str, offset: u64, bytes: u64) -> Result<()> {
        if let Some(section) = &self.section {
            return section.commit(name, offset, bytes);
        }
        if bytes == 0 || !identify(self.raw()).is_some_and(|found| found.is_sparse) {
            return Ok(());
        }
        let end = offset.saturating_add(bytes);
        let mut at = offset;
        while at < end {
            let (given_from, given_to) = self.next_given(name, at, end)?.unwrap_or((end, end));
            self.write_zeros(name, at, given_from.min(end))?;
            at = given_to.max(at + 1);
        }
        Ok(())
    }

    /// The first range in `at..end` that has its bytes already.
    fn next_given(&self, name: &str, at: u64, end: u64) -> Result<Option<(u64, u64)>> {
        let ask = FILE_ALLOCATED_RANGE_BUFFER { FileOffset: at.cast_signed(), Length: (end - at).cast_signed() };
        let mut found = FILE_ALLOCATED_RANGE_BUFFER::default();
        let mut used = 0;
        // SAFETY: question and answer are valid and of the lengths given.
        let told = unsafe {
            DeviceIoControl(
                self.raw(),
                FSCTL_QUERY_ALLOCATED_RANGES,
                (&raw const ask).cast(),
                size_u32::<FILE_ALLOCATED_RANGE_BUFFER>(),
                (&raw mut found).cast(),
                size_u32::<FILE_ALLOCATED_RANGE_BUFFER>(),
                &raw mut used,
                ptr::null_mut(),
            )
        };
        // "There is more" comes with the first range, which is all that was asked for.
        if told == 0 && last_error() != windows_sys::Win32::Foundation::ERROR_MORE_DATA {
            return Err(os_error(name, "asking which of its bytes it has"));
        }
        let from = found.FileOffset.unsigned_abs();
        Ok((used > 0).then(|| (from, from + found.Length.unsigned_abs())))
    }

    fn write_zeros(&self, name: &str, from: u64, to: u64) -> Result<()> {
        const CHUNK: usize = 1 << 20;
        let zeros = vec![0u8; usize::try_from(to - from).unwrap_or(CHUNK).min(CHUNK)];
        let mut at = from;
        while at < to {
            let length = usize::try_from(to - at).unwrap_or(CHUNK).min(zeros.len());
            at += self.write_at(name, at, &zeros[..length], "making room in its file")?.max(1);
        }
        Ok(())
    }

    /// Writes bytes at a place; returns how many it were.
    fn write_at(&self, name: &str, at: u64, bytes: &[u8], what: &'static str) -> Result<u64> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut place = place_at(at);
        let mut written = 0;
        // SAFETY: `bytes` is that long, and the rest are valid places.
        let done = unsafe { WriteFile(self.raw(), bytes.as_ptr(), length, &raw mut written, &raw mut place) };
        if done == 0 { Err(no_space_or(name, bytes.len() as u64, what)) } else { Ok(written.into()) }
    }

    /// True if the path names this very file still.
    #[must_use]
    pub fn is_at_its_path(&self) -> bool {
        open_raw(&self.path, Access::Look)
            .is_ok_and(|there| identify(there.as_raw_handle()).is_some_and(|found| found.is_of(&self.facts)))
    }

    /// Reads up to `out.len()` bytes at the start; returns how many there were.
    ///
    /// # Errors
    /// `Os`.
    pub fn read_start(&self, name: &str, out: &mut [u8]) -> Result<usize> {
        if let Some(section) = &self.section {
            return Ok(section.read_start(out));
        }
        let mut read = 0;
        let mut place = place_at(0);
        let wanted = u32::try_from(out.len()).unwrap_or(u32::MAX);
        // SAFETY: `out` is valid for writes of its length.
        let done = unsafe { ReadFile(self.raw(), out.as_mut_ptr(), wanted, &raw mut read, &raw mut place) };
        if done == 0 && last_error() != ERROR_HANDLE_EOF {
            return Err(os_error(name, "reading it"));
        }
        Ok(read as usize)
    }

    /// Maps the first `len` bytes, shared.
    ///
    /// # Errors
    /// `Os` if there is no address space.
    pub fn map(&self, name: &str, len: usize, writable: bool) -> Result<Map> {
        let mut map = match &self.section {
            Some(section) => Map::of_section(section.raw(), self.raw(), name, len, writable)?,
            None => Map::of(self.raw(), name, len, writable)?,
        };
        map.region = Some(sleeping::register(map.base() as usize, len, self.facts.device, self.facts.inode));
        Ok(map)
    }

    /// Refuses a file system on which locks or shared maps do not mean what they must.
    ///
    /// # Errors
    /// `Unsupported`, naming the file system.
    pub fn check_file_system(&self, name: &str) -> Result<()> {
        let kind = file_system(self.raw()).unwrap_or_else(|| "unknown".to_owned());
        if matches!(kind.as_str(), "NTFS" | "ReFS") {
            return Ok(());
        }
        Err(Error::Unsupported {
            name: name.to_owned(),
            what: format!(
                "its file system ({kind}) is not one on which locks and shared memory are known to hold (NTFS, ReFS); choose another directory"
            ),
        })
    }
}

/// The name of the file system that a handle's file lies on.
pub(super) fn file_system(handle: HANDLE) -> Option<String> {
    let mut kind = [0u16; 64];
    let units = u32::try_from(kind.len()).unwrap_or(0);
    let nothing = ptr::null_mut::<u32>();
    // SAFETY: `kind` has that many units; the rest is not asked for.
    let told = unsafe {
        GetVolumeInformationByHandleW(handle, ptr::null_mut(), 0, nothing, nothing, nothing, kind.as_mut_ptr(), units)
    };
    let length = kind.iter().position(|unit| *unit == 0)?;
    (told != 0).then(|| String::from_utf16_lossy(&kind[..length]))
}

fn place_at(offset: u64) -> OVERLAPPED {
    let mut place = OVERLAPPED::default();
    #[allow(clippy::cast_possible_truncation, reason = "the halves of the offset")]
    {
        place.Anonymous.Anonymous.Offset = offset as u32;
        place.Anonymous.Anonymous.OffsetHigh = (offset >> 32) as u32;
    }
    place
}

pub(super) fn refused(name: &str, errno: u32, may_not: &str) -> Error {
    match errno {
        ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_DELETE_PENDING => Error::NotFound { name: name.to_owned() },
        ERROR_ACCESS_DENIED => Error::Untrusted { name: name.to_owned(), what: may_not.to_owned() },
        errno => Error::Os { name: name.to_owned(), what: "opening it", errno: errno.cast_signed() },
    }
}

pub(super) fn no_space_or(name: &str, bytes: u64, what: &'static str) -> Error {
    if super::errno_is_no_space(last_error().cast_signed()) {
        return Error::NoSpace { name: name.to_owned(), bytes };
    }
    os_error(name, what)
}

/// Removes `path` if it still names the file `facts` were taken of. Returns whether it did. The name is free at once,
/// whoever still has the file open or mapped.
///
/// # Errors
/// `Os` if the system refuses.
pub fn unlink_if_same(path: &Path, facts: &Facts) -> Result<bool> {
    let name = path.display().to_string();
    let handle = match open_raw(path, Access::Whole) {
        Ok(handle) => handle,
        Err(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_DELETE_PENDING) => return Ok(false),
        Err(errno) => {
            return Err(Error::Os { name, what: "removing the name", errno: errno.cast_signed() });
        }
    };
    if !identify(handle.as_raw_handle()).is_some_and(|found| found.is_of(facts)) {
        return Ok(false);
    }
    if delete_at_once(handle.as_raw_handle()) {
        return Ok(true);
    }
    // Deleted the old way, the file would keep its name until its last user is gone; and while mapped it may not be.
    let aside = out_of_the_way(path);
    match rename(handle.as_raw_handle(), &aside) {
        Ok(()) => {
            drop(handle);
            // Where the system refuses, it stays, hidden, until somebody sweeps.
            let _ = std::fs::remove_file(&aside);
            Ok(true)
        }
        Err(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND) => Ok(false),
        Err(errno) => Err(Error::Os { name, what: "removing the name", errno: errno.cast_signed() }),
    }
}

/// A name that nobody has, and that is swept up like a file whose builder has died.
pub(super) fn out_of_the_way(path: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    let (pid, now) = (super::process_id(), super::unix_ms());
    path.with_file_name(format!("{}{pid}-{count}-{now}", super::UNFINISHED))
}

fn delete_at_once(handle: HANDLE) -> bool {
    let how = FILE_DISPOSITION_INFO_EX {
        Flags: FILE_DISPOSITION_FLAG_DELETE
            | FILE_DISPOSITION_FLAG_POSIX_SEMANTICS
            | FILE_DISPOSITION_FLAG_IGNORE_READONLY_ATTRIBUTE,
    };
    set_info(handle, FileDispositionInfoEx, (&raw const how).cast(), size_u32::<FILE_DISPOSITION_INFO_EX>())
}

fn set_info(handle: HANDLE, class: i32, info: *const c_void, bytes: u32) -> bool {
    // SAFETY: `info` is valid and `bytes` long, as its class says.
    unsafe { SetFileInformationByHandle(handle, class, info, bytes) != 0 }
}

/// Gives an open file another name, which must be free.
pub(super) fn rename(handle: HANDLE, to: &Path) -> std::result::Result<(), u32> {
    let whole = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
    let units: Vec<u16> = whole.as_os_str().encode_wide().collect();
    let name_at = offset_of!(FILE_RENAME_INFO, FileName);
    // In words of the structure's own alignment: its name follows it, of whatever length.
    let bytes = size_of::<FILE_RENAME_INFO>() + units.len() * 2;
    let mut words = vec![0u64; bytes.div_ceil(8)];
    let info: *mut FILE_RENAME_INFO = words.as_mut_ptr().cast();
    // SAFETY: `words` is long enough for the structure and the name after it, and zero means "do not replace".
    unsafe {
        (*info).FileNameLength = u32::try_from(units.len() * 2).unwrap_or(0);
        ptr::copy_nonoverlapping(units.as_ptr(), info.cast::<u8>().add(name_at).cast(), units.len());
    }
    if set_info(handle, FileRenameInfo, info.cast(), u32::try_from(bytes).unwrap_or(0)) {
        Ok(())
    } else {
        Err(last_error())
    }
}
