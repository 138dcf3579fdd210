//! What goes wrong with a request, and how SMP says so.
//!
//! Where `ota-core` names an `esp_err_t`, that number is the error code, in the error space of the
//! [project's own group](crate::GROUP). Other errors have the codes of the group of the command.
//!
//! Source: Zephyr `mgmt_defines.h` (`enum mcumgr_err_t`), `img_mgmt.h` (`enum
//! img_mgmt_err_code_t`), `os_mgmt.h` (`enum os_mgmt_err_code_t`).

use crate::cbor::{Full, Malformed, Writer};
use crate::cutpoint;
use crate::header::Version;
use crate::text::Line;
use ota_core::Error;
use ota_core::table::TableError;

/// Errors of the protocol itself (`enum mcumgr_err_t`), which are all that version 1 has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rc {
    Unknown = 1,
    Invalid = 3,
    NoEntry = 5,
    BadState = 6,
    MessageSize = 7,
    NotSupported = 8,
    Corrupt = 9,
    VersionTooNew = 13,
}

/// Errors of the image group (`enum img_mgmt_err_code_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Img {
    Unknown = 1,
    HashNotFound = 8,
    NoFreeSlot = 9,
    InvalidSlot = 14,
    InvalidOffset = 20,
    InvalidLength = 21,
    InvalidImageHeader = 22,
    InvalidHash = 24,
    VersionGetFailed = 26,
    CurrentVersionIsNewer = 27,
    DataOverrun = 31,
    ConfirmationDenied = 32,
    TestOfActiveDenied = 33,
}

/// Errors of the OS group (`enum os_mgmt_err_code_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Os {
    InvalidFormat = 2,
    NoAnswer = 3,
}

/// Why a request failed. As large as two registers: it is handed up through every function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What version 1 reports, and version 2 where there is no code of a group.
    rc: Rc,
    space: Space,
    code: i32,
}

/// Whose code a failure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// Nobody's.
    None,
    Os,
    Image,
    /// ESP-IDF's, in the space of the project's own group.
    Esp,
}

impl Failure {
    /// What ESP-IDF calls the error.
    fn esp(rc: Rc, code: Option<i32>) -> Self {
        match code {
            Some(code) => Self { rc, space: Space::Esp, code },
            None => Self { rc, ..Img::Unknown.into() },
        }
    }

    /// Writes the data of the response.
    pub(crate) fn write(&self, version: Version, to: &mut Writer<'_>) {
        let group = match self.space {
            Space::None => None,
            Space::Os => Some(crate::os::GROUP),
            Space::Image => Some(crate::img::GROUP),
            Space::Esp => Some(cutpoint::GROUP),
        };
        match (version, group) {
            (Version::V2, Some(group)) => {
                to.begin_map_at("err");
                to.uint("group", group.into());
                to.int("rc", self.code);
                to.end();
            }
            _ => {
                to.uint("rc", self.rc as u32);
                if self.space == Space::Esp {
                    let mut reason = Line::<24>::new();
                    reason.text("esp_err_t ").hex(self.code.cast_unsigned());
                    to.text("rsn", reason.as_bytes());
                }
            }
        }
    }
}

impl From<Rc> for Failure {
    fn from(rc: Rc) -> Self {
        Self { rc, space: Space::None, code: 0 }
    }
}

impl From<Malformed> for Failure {
    fn from(Malformed: Malformed) -> Self {
        Rc::Invalid.into()
    }
}

impl From<Full> for Failure {
    fn from(Full: Full) -> Self {
        Rc::MessageSize.into()
    }
}

impl From<Img> for Failure {
    fn from(code: Img) -> Self {
        let rc = match code {
            Img::Unknown => Rc::Unknown,
            Img::HashNotFound | Img::NoFreeSlot => Rc::NoEntry,
            Img::ConfirmationDenied | Img::TestOfActiveDenied | Img::CurrentVersionIsNewer => {
                Rc::BadState
            }
            _ => Rc::Invalid,
        };
        Self { rc, space: Space::Image, code: code as i32 }
    }
}

impl From<Os> for Failure {
    fn from(code: Os) -> Self {
        Self { rc: Rc::Invalid, space: Space::Os, code: code as i32 }
    }
}

impl<E> From<Error<E>> for Failure {
    fn from(error: Error<E>) -> Self {
        let rc = match error {
            Error::TooLarge { .. } | Error::NotAnImage { .. } => Rc::Invalid,
            Error::NoSuchPartition(_) => Rc::NoEntry,
            Error::RunningSlot | Error::PendingVerify | Error::NotSelected => Rc::BadState,
            Error::Image(_) | Error::Incomplete { .. } => Rc::Corrupt,
            _ => Rc::Unknown,
        };
        Self::esp(rc, error.esp_err())
    }
}

impl<E> From<TableError<E>> for Failure {
    fn from(error: TableError<E>) -> Self {
        Self::esp(Rc::Corrupt, error.esp_err())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_core::esp_err;

    fn written(failure: Failure, version: Version) -> std::vec::Vec<u8> {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        failure.write(version, &mut writer);
        let len = writer.finish().unwrap();
        buffer[..len].to_vec()
    }

    #[test]
    fn version_2_names_the_group() {
        let failure = Failure::from(Error::<()>::RunningSlot);
        let expected = b"\xBF\x63err\xBF\x65group\x18\x43\x62rc\x19\x15\x01\xFF\xFF";
        assert_eq!(written(failure, Version::V2), expected);
        let expected = b"\xBF\x63err\xBF\x65group\x01\x62rc\x18\x1F\xFF\xFF";
        assert_eq!(written(Img::DataOverrun.into(), Version::V2), expected);
        assert_eq!(written(Rc::NotSupported.into(), Version::V2), b"\xBF\x62rc\x08\xFF");
    }

    #[test]
    fn version_1_has_the_code_of_the_protocol_and_a_reason() {
        let failure = Failure::from(Error::<()>::RunningSlot);
        let expected = b"\xBF\x62rc\x06\x63rsn\x70esp_err_t 0x1501\xFF";
        assert_eq!(written(failure, Version::V1), expected);
        assert_eq!(written(Img::DataOverrun.into(), Version::V1), b"\xBF\x62rc\x03\xFF");
    }

    #[test]
    fn esp_fail_is_negative() {
        let failure = Failure::from(Error::<()>::NotSelected);
        assert_eq!((failure.space, failure.code), (Space::Esp, esp_err::FAIL));
        assert!(written(failure, Version::V1).ends_with(b"esp_err_t 0xffffffff\xFF"));
    }
}
