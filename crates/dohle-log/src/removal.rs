//! Files on their way out, in steps: where a file system gives space back to the disk at once (`discard`), the disk may serve nobody else for as long as
//! that takes, and for a large file that is long.
//!
//! Laws: what is cut has lost the name by which it was read for good, and has no other. Where it is cut nothing is zeroed: bytes of it may still lie in the
//! buffers of a socket (`sendfile`), which the end of the file must not reach into.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::disk::{Disk, File, Kind, remove_if_there};
use crate::failure::Failure;

/// A file is cut at multiples of this, so much in one step: no page lies across them, huge ones (2 MiB) included. In smaller pieces all of it would take longer:
/// each has its price. Tests have small files, and cut them all the same.
const PIECE_BYTES: u64 = if cfg!(test) { 256 } else { 4 << 20 };

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
    /// Where it has yet to be made durable that they are not called any more as they were.
    renamed_in: Option<PathBuf>,
}

/// Why a step was not done.
#[derive(Debug, Error)]
pub enum StepError {
    /// The names of files were not made durable. What else that sync was to make durable may be lost, and nobody is told of it twice.
    #[error(transparent)]
    Unsynced(Failure),
    /// A file is still there.
    #[error(transparent)]
    Left(#[from] Failure),
}

impl<D: Disk> Removal<D> {
    /// Files of one directory, in which they have been renamed.
    pub(crate) fn of_files(disk: D, files: Vec<PathBuf>) -> Self {
        let renamed_in = files.first().and_then(|file| file.parent()).map(Path::to_path_buf);
        Self { disk, files, directories: vec![], renamed_in }
    }

    /// All that is in a directory, which has been renamed, and the directory; nothing where there is none.
    pub(crate) fn of_directory(disk: D, path: &Path) -> io::Result<Self> {
        let renamed_in = path.parent().map(Path::to_path_buf);
        let mut removal = Self { disk, files: vec![], directories: vec![], renamed_in };
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

    /// Removes all of them whole: who still reads one can go on.
    pub fn remove(mut self) -> Result<(), Failure> {
        while let Some(path) = self.files.pop() {
            remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))?;
        }
        self.remove_directories()
    }

    /// Removes all of them in steps.
    #[cfg(test)]
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        loop {
            match self.step() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(StepError::Unsynced(failure) | StepError::Left(failure)) => return Err(failure),
            }
        }
    }

    /// Does one step, which waits for the disk: a file, or a piece of one that is larger. Says whether more is left. Nobody should read them any more.
    pub fn step(&mut self) -> Result<bool, StepError> {
        let Some(path) = self.files.last().cloned() else {
            self.remove_directories()?;
            return Ok(false);
        };
        if self.cut(&path)? {
            return Ok(true);
        }
        remove_if_there(&self.disk, &path).map_err(Failure::of("remove", &path))?;
        self.files.pop();
        Ok(!self.files.is_empty() || !self.directories.is_empty())
    }

    /// Cuts a piece off a file, if it is larger than that and nobody else's.
    fn cut(&mut self, path: &Path) -> Result<bool, StepError> {
        let Some(file) = self.disk.open_to_cut(path) else { return Ok(false) };
        let size = file.size().map_err(Failure::of("look at", path))?;
        if size <= PIECE_BYTES || !self.sync_names()? {
            return Ok(false);
        }
        let rest = (size - 1) / PIECE_BYTES * PIECE_BYTES;
        file.truncate(rest).map_err(Failure::of("cut", path))?;
        Ok(true)
    }

    /// A power cut must not bring back what was cut under the name by which it was read. False where it cannot be said that it will not.
    fn sync_names(&mut self) -> Result<bool, StepError> {
        let Some(directory) = &self.renamed_in else { return Ok(true) };
        match self.disk.sync_dir(directory) {
            // The directory was renamed in its turn, and goes with all that is in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            synced => synced.map_err(Failure::of("sync", directory)).map_err(StepError::Unsynced)?,
        }
        self.renamed_in = None;
        Ok(true)
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

#[cfg(test)]
mod tests {
    use dohle_base::Rng;

    use super::*;
    use crate::disk::{Fault, Files, Memory};

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
        let before = disk.operations();
        let mut removal = Removal::of_files(disk.clone(), vec![large.clone(), small.clone()]);
        let mut sizes = vec![];
        while removal.step().unwrap() {
            assert!(disk.open(&small).is_err(), "it went first, in one step");
            sizes.push(disk.open(&large).unwrap().size().unwrap());
        }
        assert_eq!(sizes, [2 * PIECE_BYTES + 1, 2 * PIECE_BYTES, PIECE_BYTES], "at multiples of a piece");
        assert!(disk.open(&large).is_err());
        assert_eq!(disk.operations() - before, 5, "the names are synced once");
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
    fn nothing_comes_back_cut_in_the_directory_by_whose_name_it_was_read() {
        let disk = Memory::new();
        let [live, deleted] = ["/live", "/deleted"].map(Path::new);
        disk.create_dir(live).unwrap();
        of_size(&disk, &live.join("file"), PIECE_BYTES + 1);
        disk.open(&live.join("file")).unwrap().sync().unwrap();
        disk.sync_dir(live).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.rename(live, deleted).unwrap();
        assert!(Removal::of_directory(disk.clone(), deleted).unwrap().step().unwrap());
        for seed in 0..16 {
            let after = disk.copy().crash(&mut Rng::new(seed));
            assert!(after.list(live).is_err() && after.list(deleted).is_ok(), "seed {seed}");
        }
    }

    #[test]
    fn a_sync_that_failed_is_told_and_nothing_is_cut() {
        let (disk, directory) = (Memory::new(), Path::new("/data"));
        disk.create_dir(directory).unwrap();
        let file = directory.join("file");
        of_size(&disk, &file, PIECE_BYTES + 1);
        disk.fail(disk.operations() + 1, Fault::Error(io::ErrorKind::Other));
        let failed = Removal::of_files(disk.clone(), vec![file.clone()]).step();
        assert!(matches!(failed, Err(StepError::Unsynced(_))), "{failed:?}");
        assert_eq!(disk.open(&file).unwrap().size().unwrap(), PIECE_BYTES + 1);
    }

    #[test]
    fn what_others_have_under_another_name_is_not_cut() {
        let root = tempfile::tempdir().unwrap();
        let of = |name: &str| root.path().join(name);
        let doomed = of("doomed");
        std::fs::create_dir(&doomed).unwrap();
        for name in ["backup", "target"] {
            std::fs::write(of(name), vec![7; PIECE_BYTES as usize + 1]).unwrap();
        }
        std::fs::hard_link(of("backup"), doomed.join("file")).unwrap();
        std::os::unix::fs::symlink(of("target"), doomed.join("link")).unwrap();
        Removal::of_directory(Files, &doomed).unwrap().run().unwrap();
        assert!(!doomed.exists());
        for name in ["backup", "target"] {
            assert_eq!(std::fs::read(of(name)).unwrap(), vec![7; PIECE_BYTES as usize + 1], "{name}");
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
        removal.run().unwrap();
        assert!(disk.list(directory).is_err());
        Removal::of_directory(disk, directory).unwrap().run().unwrap();
    }
}
