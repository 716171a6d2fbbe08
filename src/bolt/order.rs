//! The order of keys over all pages of a bucket.

/// What keys may follow in the walk of one bucket.
#[derive(Debug, Default)]
pub(super) struct Order {
    bound: Vec<u8>,
    /// The bound is a key that was there, so the next must be greater; else it is a branch's key,
    /// which the next may equal.
    strict: bool,
    any: bool,
    /// Keys of branches that are smaller than the first key below them.
    pub(super) loose: u64,
}

impl Order {
    /// Takes the next key, of a leaf (`strict`) or a branch; false: it may not come here.
    pub(super) fn pass(&mut self, key: &[u8], strict: bool) -> bool {
        let right = match self.any {
            false => true,
            true if self.strict => key > self.bound.as_slice(),
            true => key >= self.bound.as_slice(),
        };
        let loose = self.any && !self.strict && key != self.bound.as_slice();
        self.loose += u64::from(loose);
        self.bound.clear();
        self.bound.extend_from_slice(key);
        self.strict = strict;
        self.any = true;
        right
    }
}
