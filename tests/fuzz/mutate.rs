//! Inputs made of other inputs.

/// Random numbers (xorshift): the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `bound`; 0 where that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap();
        usize::try_from(self.next() % bound).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[3]
    }
}

/// Numbers at which something begins or ends.
const EDGES: [u64; 14] = [
    0,
    1,
    7,
    8,
    127,
    128,
    255,
    4095,
    4096,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0xFFFF_FFFF,
    u64::MAX,
];
/// Largest input.
const LARGEST: usize = 96 << 10;

/// Makes the next input.
#[derive(Debug)]
pub(crate) struct Mutator {
    random: Random,
}

impl Mutator {
    pub(crate) fn new(random: Random) -> Self {
        Self { random }
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// One of the corpus, changed in one to eight places.
    pub(crate) fn next(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let random = &mut self.random;
        // Half of them from the newest, which nobody has looked behind yet.
        let newest = corpus.len().min(16);
        let at = match random.below(2) {
            0 => corpus.len() - 1 - random.below(newest),
            _ => random.below(corpus.len()),
        };
        let mut input = corpus[at].clone();
        for _ in 0..=random.below(8) {
            let other = &corpus[random.below(corpus.len())];
            change(&mut input, other, random);
        }
        input.truncate(LARGEST);
        input
    }
}

fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let length = input.len();
    if length == 0 {
        input.push(random.byte());
        return;
    }
    let at = random.below(length);
    let some = random.below(64.min(length - at)) + 1;
    match random.below(9) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = random.byte(),
        2 | 3 => {
            let number = EDGES[random.below(EDGES.len())].to_le_bytes();
            let width = (1 << random.below(4)).min(length - at);
            input[at..at + width].copy_from_slice(&number[..width]);
        }
        4 => input[at] = input[at].wrapping_add(random.byte() % 17).wrapping_sub(8),
        5 => drop(input.drain(at..(at + some).min(length))),
        6 => {
            let from = random.below(other.len());
            let part = &other[from..(from + some).min(other.len())];
            input.splice(at..at, part.iter().copied());
        }
        7 => {
            let from = random.below(other.len());
            let count = some.min(other.len() - from).min(length - at);
            input[at..at + count].copy_from_slice(&other[from..from + count]);
        }
        // A page over another.
        _ => {
            let page = [1024, 4096][random.below(2)];
            let pages = length / page;
            if pages > 1 {
                let (from, to) = (random.below(pages) * page, random.below(pages) * page);
                input.copy_within(from..from + page, to);
            }
        }
    }
}
