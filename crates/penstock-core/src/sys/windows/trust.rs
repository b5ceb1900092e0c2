//! Whose a file is, and who else may write it: Windows' owners and access lists in the terms of users and modes.

use super::{last_error, wide_text};
use std::ffi::c_void;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::OnceLock;
use windows_sys::Win32::Foundation::{GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT, SE_KERNEL_OBJECT, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce, GetLengthSid, GetSidSubAuthority,
    GetSidSubAuthorityCount, GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR,
    PSID, SECURITY_ATTRIBUTES, TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinCreatorOwnerSid,
    WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{FILE_READ_DATA, FILE_WRITE_DATA, WRITE_DAC, WRITE_OWNER};
use windows_sys::Win32::System::SystemServices::ACCESS_ALLOWED_ACE_TYPE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// This process's user: the identifier itself, and as text. Words, so that it is aligned as a SID has to be.
struct User {
    sid: Vec<u32>,
    text: String,
}

impl User {
    fn psid(&self) -> PSID {
        self.sid.as_ptr().cast_mut().cast()
    }
}

fn user() -> &'static User {
    static USER: OnceLock<User> = OnceLock::new();
    USER.get_or_init(|| read_user().unwrap_or(User { sid: vec![0; 3], text: String::new() }))
}

fn read_user() -> Option<User> {
    let mut token: HANDLE = ptr::null_mut();
    // SAFETY: `token` is a valid place for the handle.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return None;
    }
    // SAFETY: opened just above, and ours.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut answer = [0u64; 64];
    let bytes = u32::try_from(size_of_val(&answer)).ok()?;
    let mut used = 0;
    // SAFETY: `answer` is a valid place for so many bytes, aligned for what is written.
    let told = unsafe {
        GetTokenInformation(token.as_raw_handle(), TokenUser, answer.as_mut_ptr().cast(), bytes, &raw mut used)
    };
    if told == 0 {
        return None;
    }
    // SAFETY: the call above has written a TOKEN_USER there; its SID lies behind it in `answer`.
    let sid = unsafe { (*answer.as_ptr().cast::<TOKEN_USER>()).User.Sid };
    // SAFETY: `sid` is valid, as said above.
    let length = unsafe { GetLengthSid(sid) } as usize;
    let mut copy = vec![0u32; length.div_ceil(size_of::<u32>())];
    // SAFETY: both are `length` bytes long, or more.
    unsafe { ptr::copy_nonoverlapping(sid.cast::<u8>(), copy.as_mut_ptr().cast(), length) };
    Some(User { text: sid_text(sid)?, sid: copy })
}

fn sid_text(sid: PSID) -> Option<String> {
    let mut text: *mut u16 = ptr::null_mut();
    // SAFETY: `sid` is valid, and `text` a valid place for the answer.
    if unsafe { ConvertSidToStringSidW(sid, &raw mut text) } == 0 {
        return None;
    }
    let mut units = Vec::new();
    // SAFETY: the answer ends with a NUL.
    while unsafe { *text.add(units.len()) } != 0 {
        // SAFETY: as above.
        units.push(unsafe { *text.add(units.len()) });
    }
    // SAFETY: allocated by the call above.
    unsafe { LocalFree(text.cast()) };
    Some(String::from_utf16_lossy(&units))
}

/// The last part of a user's identifier, which tells the users of a machine or domain apart.
fn number_of(sid: PSID) -> u32 {
    // SAFETY: `sid` is valid.
    let parts = unsafe { *GetSidSubAuthorityCount(sid) };
    // SAFETY: it has that many parts.
    if parts == 0 { 0 } else { unsafe { *GetSidSubAuthority(sid, u32::from(parts) - 1) } }
}

/// This process's user.
#[must_use]
pub fn user_id() -> u32 {
    number_of(user().psid())
}

/// Makes what is created with it this user's, and lets in nobody else but the system.
pub struct Private {
    descriptor: PSECURITY_DESCRIPTOR,
}

impl Private {
    /// For a directory with `"OICI"`: what is made in it is as private. For a file, `""`.
    pub fn new(inherited: &str) -> Result<Private, u32> {
        let sid = &user().text;
        let text = format!("O:{sid}D:P(A;{inherited};FA;;;{sid})(A;{inherited};FA;;;SY)");
        let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
        // SAFETY: a text that ends with a NUL, and a valid place for the answer.
        let made = unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide_text(&text).as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        };
        if made == 0 { Err(last_error()) } else { Ok(Private { descriptor }) }
    }

    /// What a call that creates something takes; valid while `self` is.
    pub fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or(0),
            lpSecurityDescriptor: self.descriptor,
            bInheritHandle: 0,
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // SAFETY: allocated by the conversion in `new`.
        unsafe { LocalFree(self.descriptor) };
    }
}

/// The owner of an open object that is not a file.
pub fn owner_of_object(handle: HANDLE) -> Result<u32, u32> {
    owner_and_list(handle, SE_KERNEL_OBJECT, |owner, _| owner_number(owner))
}

/// Owner and mode of an open file, in the terms of other systems: mode 600 if nobody else may read or write it.
pub fn owner_and_mode(handle: HANDLE) -> Result<(u32, u32), u32> {
    owner_and_list(handle, SE_FILE_OBJECT, |owner, list| (owner_number(owner), 0o600 | mode_of_others(list)))
}

/// Has `act` look at the owner and the access list of an open object.
fn owner_and_list<R>(handle: HANDLE, kind: SE_OBJECT_TYPE, act: impl FnOnce(PSID, *mut ACL) -> R) -> Result<R, u32> {
    let (mut owner, mut list): (PSID, *mut ACL) = (ptr::null_mut(), ptr::null_mut());
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: each is a valid place for its answer.
    let status = unsafe {
        GetSecurityInfo(
            handle,
            kind,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            &raw mut list,
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if status != 0 {
        return Err(status);
    }
    let found = act(owner, list);
    // SAFETY: allocated by the call above; what pointed into it is not used any more.
    unsafe { LocalFree(descriptor) };
    Ok(found)
}

/// This user's number only for this very user, also where another domain has one of the same number.
fn owner_number(owner: PSID) -> u32 {
    // SAFETY: both are valid SIDs.
    if !owner.is_null() && unsafe { EqualSid(owner, user().psid()) } != 0 {
        return user_id();
    }
    let number = if owner.is_null() { u32::MAX } else { number_of(owner) };
    if number == user_id() { u32::MAX } else { number }
}

/// What anybody but this user and the system's own may do: 044 for reading, 022 for writing.
fn mode_of_others(list: *mut ACL) -> u32 {
    if list.is_null() {
        return 0o066; // no list at all: everybody may do everything
    }
    // SAFETY: the list is valid.
    let entries = unsafe { (*list).AceCount };
    (0..u32::from(entries)).map(|index| mode_of_entry(list, index)).fold(0, |mode, more| mode | more)
}

fn mode_of_entry(list: *mut ACL, index: u32) -> u32 {
    let mut entry: *mut c_void = ptr::null_mut();
    // SAFETY: the list is valid and has that entry.
    if unsafe { GetAce(list, index, &raw mut entry) } == 0 {
        return 0;
    }
    // SAFETY: every entry begins with this head.
    if u32::from(unsafe { (*entry.cast::<ACE_HEADER>()).AceType }) != ACCESS_ALLOWED_ACE_TYPE {
        return 0;
    }
    let allowed: *mut ACCESS_ALLOWED_ACE = entry.cast();
    // SAFETY: the type was just looked at; the SID begins where `SidStart` lies.
    let (mask, sid): (u32, PSID) = unsafe { ((*allowed).Mask, (&raw mut (*allowed).SidStart).cast()) };
    if is_trusted(sid) {
        return 0;
    }
    let reads = mask & (FILE_READ_DATA | GENERIC_READ | GENERIC_ALL) != 0;
    let writes = mask & (FILE_WRITE_DATA | WRITE_DAC | WRITE_OWNER | GENERIC_WRITE | GENERIC_ALL) != 0;
    u32::from(reads) * 0o044 | u32::from(writes) * 0o022
}

/// Who can read and write everything anyway, and this user.
fn is_trusted(sid: PSID) -> bool {
    let known = [WinLocalSystemSid, WinBuiltinAdministratorsSid, WinCreatorOwnerSid];
    // SAFETY: both are valid SIDs.
    let is_user = unsafe { EqualSid(sid, user().psid()) } != 0;
    // SAFETY: `sid` is valid.
    is_user || known.iter().any(|kind| unsafe { IsWellKnownSid(sid, *kind) } != 0)
}
