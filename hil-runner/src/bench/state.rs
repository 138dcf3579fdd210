//! The folder where what the runners of one user share is kept: locks, and records of boards without power.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Folder below the user's state folder.
const NAME: &str = "cutpoint";

/// A folder that all runners of one user share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// That of the user who runs this: `$XDG_STATE_HOME/cutpoint`, else `~/.local/state/cutpoint`
    /// (<https://specifications.freedesktop.org/basedir-spec/latest/>), else `/tmp/cutpoint-UID`.
    pub fn of_user() -> Self {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME").filter(|it| it.is_dir())?.join(".local/state")));
        Self(match state {
            Some(state) => state.join(NAME),
            None => {
                let user = rustix::process::getuid().as_raw();
                env::temp_dir().join(format!("{NAME}-{user}"))
            }
        })
    }

    /// Another folder.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A folder in it, made if it is not there. Commands of switches are read from it: it is the user's
    /// alone.
    pub(crate) fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let about = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.0.display()))
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(about)?;
        let found = fs::symlink_metadata(&self.0).map_err(about)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            let what = "belongs to another user, or is no folder";
            return Err(about(io::Error::new(io::ErrorKind::PermissionDenied, what)));
        }
        let folder = self.0.join(name);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(about)?;
        Ok(folder)
    }

    /// A key as a file name.
    pub(crate) fn file_name(key: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        key.chars().map(plain).collect()
    }
}

impl AsRef<Path> for StateDir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_folder_is_made_for_the_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::at(root.path().join("a/b"));
        let folder = state.folder("locks").unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(state).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_link_in_its_place_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("state");
        symlink(root.path(), &link).unwrap();
        let error = StateDir::at(link).folder("locks").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn keys_become_plain_names() {
        assert_eq!(StateDir::file_name("60:55:F9:C0:ff:ee"), "60-55-f9-c0-ff-ee");
        assert_eq!(StateDir::file_name("../x"), "---x");
    }
}
