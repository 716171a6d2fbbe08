//! CRC-32C (Castagnoli), the figure that `etcdctl snapshot status` prints as the hash. It protects
//! nothing here; it lets people compare.

/// Eight tables: eight bytes are taken at one time.
static TABLES: [[u32; 256]; 8] = tables();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// A running CRC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn new() -> Self {
        Self(u32::MAX)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for eight in eights {
            let word = u64::from_le_bytes(*eight) ^ u64::from(crc);
            // The last byte has the shortest way to go: the first table.
            let ways = TABLES.iter().rev().zip(word.to_le_bytes());
            crc = ways.fold(0, |crc, (table, byte)| crc ^ at(table, byte));
        }
        let [first, ..] = &TABLES;
        for byte in rest {
            let [low, ..] = crc.to_le_bytes();
            crc = (crc >> 8) ^ at(first, low ^ byte);
        }
        self.0 = crc;
    }

    pub(super) fn value(self) -> u32 {
        !self.0
    }
}

fn at(table: &[u32; 256], byte: u8) -> u32 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_check_value_of_crc_32c() {
        let mut crc = Crc::new();
        crc.add(b"1234567");
        crc.add(b"89");
        assert_eq!(crc.value(), 0xE306_9283);
        let mut whole = Crc::new();
        whole.add(b"123456789");
        assert_eq!(whole.value(), 0xE306_9283);
    }
}
