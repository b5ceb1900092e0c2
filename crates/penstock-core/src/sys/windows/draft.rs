//! A file that nobody takes for a segment until it is complete.

use super::file::{Access, File, no_space_or, open_with, out_of_the_way, rename};
use super::pulse::{try_lock, unlock};
use super::section::Section;
use super::trust::Private;
use crate::error::{Error, Result};
use crate::sys::Backing;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, ERROR_ALREADY_EXISTS, ERROR_FILE_EXISTS};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_END_OF_FILE_INFO, FILE_FLAG_OPEN_REPARSE_POINT, FileEndOfFileInfo, SetFileInformationByHandle,
};
use windows_sys::Win32::System::IO::DeviceIoControl;
use windows_sys::Win32::System::Ioctl::FSCTL_SET_SPARSE;

/// How the names of files begin that are being built, or that are removed but not gone yet.
pub const UNFINISHED: &str = ".unfinished-";

/// The number at which who builds such a file has his sign of life; no participant has it.
pub const BUILDER: u32 = 0;

/// A file that is built completely before it gets its name.
#[derive(Debug)]
pub struct Draft {
    location: PathBuf,
    temporary: PathBuf,
}

impl Draft {
    /// Starts a file of `len` bytes beside `path`, or one that stands for so much memory; none of it committed where the
    /// file system lets us choose.
    ///
    /// # Errors
    /// `Untrusted` where the directory cannot be written, `NoSpace`, `Os`.
    pub fn begin(name: &str, path: &Path, len: u64, backing: Backing) -> Result<(Draft, File)> {
        let os = |what, errno: u32| Error::Os { name: name.to_owned(), what, errno: errno.cast_signed() };
        let temporary = out_of_the_way(path);
        let private = Private::new("").map_err(|errno| os("making its file private", errno))?;
        let attributes = private.attributes();
        let handle = open_with(&temporary, Access::Make, FILE_FLAG_OPEN_REPARSE_POINT, &raw const attributes).map_err(
            |errno| match errno {
                ERROR_ACCESS_DENIED => Error::Untrusted {
                    name: name.to_owned(),
                    what: format!("this user may not write in {}", path.parent().unwrap_or(path).display()),
                },
                errno if super::errno_is_no_space(errno.cast_signed()) => {
                    Error::NoSpace { name: name.to_owned(), bytes: len }
                }
                errno => os("making its file", errno),
            },
        )?;
        let draft = Draft { location: path.to_owned(), temporary };
        try_lock(handle.as_raw_handle(), BUILDER, 1, true); // says that somebody builds it, while the file is open
        let (mut file, _) = File::from_handle(name, path, handle)?;
        match backing {
            Backing::File => {
                make_sparse(&file);
                set_length(&file, name, len)?;
            }
            Backing::Memory => {
                let (section, record) = Section::make(name, len)?;
                file.stand_for(name, section, record)?;
            }
        }
        Ok((draft, file))
    }

    /// Gives the finished file its name, at once and only if the name is free.
    ///
    /// # Errors
    /// `Exists` if somebody was first; `NoSpace`, `Os`.
    pub fn publish(&self, file: &File, name: &str) -> Result<()> {
        let mut renamed = rename(file.raw(), &self.location);
        if matches!(renamed, Err(ERROR_ALREADY_EXISTS | ERROR_FILE_EXISTS)) && self.is_name_left_by_memory(name) {
            renamed = rename(file.raw(), &self.location);
        }
        match renamed {
            Ok(()) => {
                unlock(file.raw(), BUILDER, 1); // it is built; recovery after a restart asks for the same lock
                Ok(())
            }
            Err(ERROR_ALREADY_EXISTS | ERROR_FILE_EXISTS) => Err(Error::Exists { name: name.to_owned() }),
            // A directory of that name, say.
            Err(ERROR_ACCESS_DENIED) if self.location.exists() => Err(Error::Exists { name: name.to_owned() }),
            Err(errno) if super::errno_is_no_space(errno.cast_signed()) => {
                Err(Error::NoSpace { name: name.to_owned(), bytes: 0 })
            }
            Err(errno) => {
                Err(Error::Os { name: name.to_owned(), what: "giving it its name", errno: errno.cast_signed() })
            }
        }
    }

    /// Whether what had the name stood for memory that is gone: looking at it removed it.
    fn is_name_left_by_memory(&self, name: &str) -> bool {
        matches!(File::open(name, &self.location), Err(Error::NotFound { .. }))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary); // not there once it was published
    }
}

/// Room for large items is then given when it is first used. A file system that cannot gives all of it at once.
fn make_sparse(file: &File) {
    let mut used = 0;
    // SAFETY: no memory is passed.
    unsafe {
        DeviceIoControl(
            file.raw(),
            FSCTL_SET_SPARSE,
            ptr::null(),
            0,
            ptr::null_mut(),
            0,
            &raw mut used,
            ptr::null_mut(),
        )
    };
}

pub(super) fn set_length(file: &File, name: &str, len: u64) -> Result<()> {
    let Ok(signed) = i64::try_from(len) else {
        return Err(Error::NoSpace { name: name.to_owned(), bytes: len });
    };
    let end = FILE_END_OF_FILE_INFO { EndOfFile: signed };
    let bytes = u32::try_from(size_of::<FILE_END_OF_FILE_INFO>()).unwrap_or(0);
    // SAFETY: `end` is valid and of the length given.
    if unsafe { SetFileInformationByHandle(file.raw(), FileEndOfFileInfo, (&raw const end).cast(), bytes) } == 0 {
        return Err(no_space_or(name, len, "sizing its file"));
    }
    Ok(())
}
