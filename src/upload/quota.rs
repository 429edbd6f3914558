//! How much a principal may have, and how much of it is used.

/// What one principal may have; nothing is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Uploads that are not finished.
    pub uploads: Option<u64>,
    /// Bytes of the files of unfinished uploads, as declared.
    pub upload_bytes: Option<u64>,
    /// Bytes of creatives, and those that the unfinished uploads will add.
    pub stored_bytes: Option<u64>,
    /// Creatives, and those that the unfinished uploads will become.
    pub stored_files: Option<u64>,
}

/// What one principal has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Uploads that are not finished.
    pub uploads: u64,
    /// Bytes of the files of unfinished uploads, as declared.
    pub upload_bytes: u64,
    /// Bytes of these files that have arrived.
    pub received_bytes: u64,
    /// Bytes of creatives.
    pub stored_bytes: u64,
    /// Creatives.
    pub stored_files: u64,
}

/// Which quota a new file would exceed, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverQuota {
    /// [`Quotas::uploads`].
    #[error(
        "{0} uploads are unfinished, and you may have no more at a time: finish or cancel some, or \
         wait until they expire"
    )]
    Uploads(u64),
    /// [`Quotas::upload_bytes`].
    #[error(
        "your unfinished uploads and this one are more than the {0} bytes that you may have on \
         their way at a time: finish or cancel some, or wait until they expire"
    )]
    UploadBytes(u64),
    /// [`Quotas::stored_bytes`].
    #[error(
        "your files, those that are on their way, and this one are more than the {0} bytes that \
         you may store: delete some"
    )]
    StoredBytes(u64),
    /// [`Quotas::stored_files`].
    #[error(
        "your files, those that are on their way, and this one are more than the {0} files that \
         you may store: delete some"
    )]
    StoredFiles(u64),
}

impl Quotas {
    /// No limit at all.
    pub const NONE: Self =
        Self { uploads: None, upload_bytes: None, stored_bytes: None, stored_files: None };

    /// Whether one more upload, of `len` bytes, may be begun by whoever has this much.
    pub fn check_new(&self, usage: Usage, len: u64) -> Result<(), OverQuota> {
        let upload_bytes = usage.upload_bytes.saturating_add(len);
        let uploads = usage.uploads.saturating_add(1);
        within(self.uploads, uploads).map_err(OverQuota::Uploads)?;
        within(self.upload_bytes, upload_bytes).map_err(OverQuota::UploadBytes)?;
        self.check_stored(usage, uploads, upload_bytes)
    }

    /// Whether a file of `len` bytes may be added to those that are stored.
    pub fn check_complete(&self, usage: Usage, len: u64) -> Result<(), OverQuota> {
        self.check_stored(usage, 1, len)
    }

    /// Whether so many files with so many bytes may be added.
    fn check_stored(&self, usage: Usage, files: u64, bytes: u64) -> Result<(), OverQuota> {
        let stored_bytes = usage.stored_bytes.saturating_add(bytes);
        let stored_files = usage.stored_files.saturating_add(files);
        within(self.stored_bytes, stored_bytes).map_err(OverQuota::StoredBytes)?;
        within(self.stored_files, stored_files).map_err(OverQuota::StoredFiles)
    }
}

impl Usage {
    /// With one more unfinished upload.
    #[must_use]
    pub fn and_upload(self, len: u64) -> Self {
        Self {
            uploads: self.uploads.saturating_add(1),
            upload_bytes: self.upload_bytes.saturating_add(len),
            ..self
        }
    }

    /// Bytes of unfinished uploads that have not arrived: what is reserved for them.
    #[must_use]
    pub fn reserved_bytes(self) -> u64 {
        self.upload_bytes.saturating_sub(self.received_bytes)
    }
}

fn within(most: Option<u64>, value: u64) -> Result<(), u64> {
    most.filter(|most| *most < value).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: Usage = Usage {
        uploads: 2,
        upload_bytes: 20,
        received_bytes: 15,
        stored_bytes: 300,
        stored_files: 4,
    };

    fn quotas(uploads: u64, upload_bytes: u64, stored_bytes: u64) -> Quotas {
        Quotas {
            uploads: Some(uploads),
            upload_bytes: Some(upload_bytes),
            stored_bytes: Some(stored_bytes),
            stored_files: None,
        }
    }

    #[test]
    fn unfinished_uploads_are_files_that_will_be_stored() {
        let quotas = |most| Quotas { stored_files: Some(most), ..Quotas::NONE };
        assert_eq!(quotas(7).check_new(USAGE, 5), Ok(()));
        assert_eq!(quotas(6).check_new(USAGE, 5), Err(OverQuota::StoredFiles(6)));
        assert_eq!(quotas(5).check_complete(USAGE, 5), Ok(()));
        assert_eq!(quotas(4).check_complete(USAGE, 5), Err(OverQuota::StoredFiles(4)));
    }

    #[test]
    fn what_just_fits_is_let_in_and_one_more_is_not() {
        for (quotas, expected) in [
            (quotas(3, 25, 325), Ok(())),
            (quotas(2, 25, 325), Err(OverQuota::Uploads(2))),
            (quotas(3, 24, 325), Err(OverQuota::UploadBytes(24))),
            (quotas(3, 25, 324), Err(OverQuota::StoredBytes(324))),
            (Quotas::NONE, Ok(())),
        ] {
            assert_eq!(quotas.check_new(USAGE, 5), expected, "{quotas:?}");
        }
        assert_eq!(quotas(0, 0, 305).check_complete(USAGE, 5), Ok(()));
        assert_eq!(quotas(9, 99, 304).check_complete(USAGE, 5), Err(OverQuota::StoredBytes(304)));
    }

    #[test]
    fn sums_that_no_number_holds_are_too_large() {
        let full = Usage { stored_bytes: u64::MAX, ..USAGE };
        let most = quotas(9, u64::MAX - 1, u64::MAX);
        assert_eq!(most.check_new(full, u64::MAX), Err(OverQuota::UploadBytes(u64::MAX - 1)));
    }
}
