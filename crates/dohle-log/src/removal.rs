//! Files on their way out, in steps: where a file system gives space back to the disk at once (`discard`), the disk may serve nobody else for as long as
//! that takes, and for a large file that is long.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, File, Kind, remove_if_there};
use crate::failure::Failure;

/// So much of a file goes in one step. In smaller pieces all of it would take longer: each has its price.
pub const PIECE_BYTES: u64 = 4 << 20;

/// Files that wait to be removed (`file.delete.delay.ms`): outside of the partition's lock, for a file system may take its time. Forgotten, they
/// go when the log, or the directory, is opened again.
#[derive(Debug)]
#[must_use = "the files take space until they are removed"]
pub struct Removal<D: Disk> {
    disk: D,
    /// The last one goes next.
    files: Vec<PathBuf>,
    /// What they lay in, inner ones first; they go when the files are gone.
    directories: Vec<PathBuf>,
}

impl<D: Disk> Removal<D> {
    pub(crate) fn of_files(disk: D, files: Vec<PathBuf>) -> Self {
        Self { disk, files, directories: vec![] }
    }

    /// All that is in a directory, and the directory; nothing where there is none.
    pub(crate) fn of_directory(disk: D, path: &Path) -> io::Result<Self> {
        let mut removal = Self::of_files(disk, vec![]);
        match removal.enter(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entered => entered?,
        }
        Ok(removal)
    }

    /// Directories are not deep here: one level of partitions, and files in them.
    fn enter(&mut self, directory: &Path) -> io::Result<()> {
        for entry in self.disk.list(directory)? {
            let inner = directory.join(&entry.name);
            match entry.kind {
                Kind::File(_) => self.files.push(inner),
                Kind::Directory => self.enter(&inner)?,
            }
        }
        self.directories.push(directory.to_path_buf());
        Ok(())
    }

    /// Which files are left.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Removes all of them.
    pub fn remove(mut self) -> Result<(), Failure> {
        while self.step()? {}
        Ok(())
    }

    /// Does one step, which waits for the disk: a file, or [`PIECE_BYTES`] of one that is larger. Says whether more is left.
    pub fn step(&mut self) -> Result<bool, Failure> {
        let Some(path) = self.files.last() else { return self.remove_directories().map(|()| false) };
        if shrink(&self.disk, path).map_err(Failure::of("cut", path))? {
            return Ok(true);
        }
        remove_if_there(&self.disk, path).map_err(Failure::of("remove", path))?;
        self.files.pop();
        Ok(!self.files.is_empty() || !self.directories.is_empty())
    }

    fn remove_directories(&mut self) -> Result<(), Failure> {
        for directory in self.directories.drain(..) {
            match self.disk.remove_dir(&directory) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.map_err(Failure::of("remove", &directory))?,
            }
        }
        Ok(())
    }
}

/// Cuts a piece off a file, if it is larger than that.
fn shrink<D: Disk>(disk: &D, path: &Path) -> io::Result<bool> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let rest = file.size()?.saturating_sub(PIECE_BYTES);
    if rest > 0 {
        // A power cut must not bring it back under the name by which it was read, cut.
        path.parent().map_or(Ok(()), |directory| disk.sync_dir(directory))?;
        file.truncate(rest)?;
    }
    Ok(rest > 0)
}

#[cfg(test)]
mod tests {
    use dohle_base::Rng;

    use super::*;
    use crate::disk::Memory;

    fn of_size(disk: &Memory, path: &Path, size: u64) {
        disk.create(path).unwrap().truncate(size).unwrap();
    }

    #[test]
    fn a_large_file_goes_in_pieces_and_a_small_one_at_once() {
        let (disk, directory) = (Memory::new(), Path::new("/data"));
        disk.create_dir(directory).unwrap();
        let [large, small] = ["large", "small"].map(|name| directory.join(name));
        of_size(&disk, &large, 2 * PIECE_BYTES + 1);
        of_size(&disk, &small, PIECE_BYTES);
        let mut removal = Removal::of_files(disk.clone(), vec![large.clone(), small.clone()]);
        let mut sizes = vec![];
        while removal.step().unwrap() {
            assert!(disk.open(&small).is_err(), "it went first, in one step");
            sizes.push(disk.open(&large).unwrap().size().unwrap());
        }
        assert_eq!(sizes, [2 * PIECE_BYTES + 1, PIECE_BYTES + 1, 1]);
        assert!(disk.open(&large).is_err());
    }

    #[test]
    fn nothing_comes_back_cut_under_the_name_by_which_it_was_read() {
        let (disk, directory) = (Memory::new(), Path::new("/data"));
        disk.create_dir(directory).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        let [live, deleted] = ["live", "deleted"].map(|name| directory.join(name));
        of_size(&disk, &live, PIECE_BYTES + 1);
        disk.open(&live).unwrap().sync().unwrap();
        disk.sync_dir(directory).unwrap();
        disk.rename(&live, &deleted).unwrap();
        assert!(Removal::of_files(disk.clone(), vec![deleted.clone()]).step().unwrap());
        for seed in 0..16 {
            let after = disk.copy().crash(&mut Rng::new(seed));
            assert!(after.open(&live).is_err() && after.open(&deleted).is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn a_directory_goes_with_all_that_is_in_it_and_nobody_minds_what_is_gone_already() {
        let (disk, directory) = (Memory::new(), Path::new("/data"));
        let inner = directory.join("inner");
        for directory in [directory, &inner] {
            disk.create_dir(directory).unwrap();
            of_size(&disk, &directory.join("file"), PIECE_BYTES + 1);
        }
        let removal = Removal::of_directory(disk.clone(), directory).unwrap();
        disk.remove(&inner.join("file")).unwrap();
        removal.remove().unwrap();
        assert!(disk.list(directory).is_err());
        Removal::of_directory(disk, directory).unwrap().remove().unwrap();
    }
}
