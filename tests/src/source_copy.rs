//! A copy of the workspace in which bugs are planted.

use serde::Deserialize;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A change of the source text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The source file, from the root of the workspace.
    pub file: PathBuf,
    /// Text that stands once in the file.
    pub find: String,
    /// What it becomes.
    pub replace: String,
}

/// A copy of the workspace.
#[derive(Debug)]
pub struct SourceCopy {
    tree: PathBuf,
}

impl SourceCopy {
    /// Copies what git has or would take of the workspace at `root` to `tree`. What stands there goes,
    /// but for its folder `target`, in which builds can go on where they ended.
    ///
    /// # Errors
    /// When git or the file system fails.
    pub fn new(root: &Path, tree: &Path) -> Result<Self, Box<dyn Error>> {
        fs::create_dir_all(tree)?;
        for entry in fs::read_dir(tree)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true if entry.file_name() == "target" => {}
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        let files = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()?;
        if !files.status.success() {
            let said = String::from_utf8_lossy(&files.stderr);
            return Err(format!("git ls-files: {said}").into());
        }
        for file in String::from_utf8(files.stdout)?.split('\0').filter(|file| !file.is_empty()) {
            let (from, to) = (root.join(file), tree.join(file));
            if from.is_file() {
                fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
                fs::copy(from, to)?;
            }
        }
        Ok(Self { tree: tree.to_owned() })
    }

    /// Where the copy is.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// Makes the changes, calls `work` and undoes them.
    ///
    /// # Errors
    /// When a text does not stand exactly once in its file, and what `work` returns.
    pub fn with<T>(
        &self,
        edits: &[Edit],
        work: impl FnOnce() -> Result<T, Box<dyn Error>>,
    ) -> Result<T, Box<dyn Error>> {
        let mut originals = Vec::new();
        let mut planted = Ok(());
        for edit in edits {
            let path = self.tree.join(&edit.file);
            planted = plant(edit, &path).map(|original| originals.push((path, original)));
            if planted.is_err() {
                break;
            }
        }
        let result = planted.and_then(|()| work());
        // The first of two changes of a file has its text as it was: it is written back last.
        for (path, original) in originals.iter().rev() {
            fs::write(path, original)?;
        }
        result
    }
}

/// Makes a change and returns the text before it.
fn plant(edit: &Edit, path: &Path) -> Result<String, Box<dyn Error>> {
    let original =
        fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let places = original.matches(&edit.find).count();
    if places != 1 {
        let file = edit.file.display();
        return Err(format!("text stands {places} times in {file}:\n{}", edit.find).into());
    }
    fs::write(path, original.replace(&edit.find, &edit.replace))?;
    Ok(original)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(find: &str, replace: &str) -> Edit {
        Edit { file: "file".into(), find: find.into(), replace: replace.into() }
    }

    #[test]
    fn changes_are_made_and_undone_together() {
        let tree = std::env::temp_dir().join(format!("cutpoint-edits-{}", std::process::id()));
        fs::create_dir_all(&tree).unwrap();
        let text = || fs::read_to_string(tree.join("file")).unwrap();
        fs::write(tree.join("file"), "one two two").unwrap();
        let copy = SourceCopy { tree: tree.clone() };
        let both = [edit("one", "1"), edit("1 ", "0 ")];
        assert_eq!(copy.with(&both, || Ok(text())).unwrap(), "0 two two");
        assert_eq!(text(), "one two two");
        let wrong = [edit("one", "1"), edit("two", "2")];
        let error = copy.with(&wrong, || Ok(())).unwrap_err().to_string();
        assert!(error.starts_with("text stands 2 times in file"), "{error}");
        assert_eq!(text(), "one two two");
        fs::remove_dir_all(tree).unwrap();
    }
}
