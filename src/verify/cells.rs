//! The state of each offset of a partition, and of each item of an array.
//!
//! Each offset takes two bytes, so that topics of hundreds of millions of records fit into memory. The items of a long
//! array take about four bytes each.

use super::entry::{in_kafka, item_bits, item_in_array};
use std::collections::BTreeMap;

/// The number of offsets in a piece.
const PIECE: usize = 1024;
/// The number of items of one array in a piece. Most arrays are short.
const ITEMS_PIECE: usize = 16;

/// The state of an offset, or of an item.
#[derive(Clone, Copy, Default)]
pub(super) struct Cell {
    pub(super) flags: u8,
    /// Identifies the uuid, to compare the record with its words.
    pub(super) mark: u8,
}

/// The cells of a partition.
#[derive(Default)]
pub(super) struct Cells {
    pieces: BTreeMap<i64, Box<[Cell]>>,
    /// The items of arrays, by the array's offset and the number of the piece.
    items: BTreeMap<(i64, i64), [Cell; ITEMS_PIECE]>,
}

impl Cells {
    /// Returns the cell of an entry's offset. Creates it if it does not exist.
    pub(super) fn cell(&mut self, offset: i64) -> Option<&mut Cell> {
        if let Some(item) = item_in_array(offset) {
            let (piece, index) = place_of(item, ITEMS_PIECE)?;
            return self.items.entry((in_kafka(offset), piece)).or_default().get_mut(index);
        }
        let (piece, index) = place_of(offset, PIECE)?;
        let piece = self.pieces.entry(piece).or_insert_with(|| vec![Cell::default(); PIECE].into());
        piece.get_mut(index)
    }

    /// Returns the flags of an entry's offset.
    pub(super) fn flags(&self, offset: i64) -> u8 {
        let found = if let Some(item) = item_in_array(offset) {
            place_of(item, ITEMS_PIECE)
                .and_then(|(piece, index)| self.items.get(&(in_kafka(offset), piece))?.get(index))
        } else {
            place_of(offset, PIECE).and_then(|(piece, index)| self.pieces.get(&piece)?.get(index))
        };
        found.map_or(0, |cell| cell.flags)
    }

    /// Returns the last offset below `end` that has one of these flags. Leaves out the items of arrays.
    pub(super) fn last_below(&self, end: i64, flags: u8) -> Option<i64> {
        let (last, _) = place_of(end, PIECE)?;
        self.pieces.range(..=last).rev().find_map(|(piece, cells)| {
            let start = piece.saturating_mul(PIECE as i64);
            let is_one = |(offset, cell): &(i64, &Cell)| *offset < end && cell.flags & flags != 0;
            (start..).zip(cells).filter(is_one).map(|(offset, _)| offset).last()
        })
    }

    /// Returns all cells with flags: those of whole records, then those of items.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, Cell)> {
        let records = self.pieces.iter().flat_map(|(piece, cells)| {
            let start = piece.saturating_mul(PIECE as i64);
            (start..).zip(cells.iter().copied())
        });
        let items = self.items.iter().flat_map(|((array, piece), cells)| {
            let start = piece.saturating_mul(ITEMS_PIECE as i64);
            (start..).zip(cells).map(move |(item, cell)| (array | item_bits(item), *cell))
        });
        records.chain(items).filter(|(_, cell)| cell.flags != 0)
    }
}

/// Returns the piece of `size` cells that holds a number, and the cell's index in it. A negative number has none.
fn place_of(number: i64, size: usize) -> Option<(i64, usize)> {
    let size = i64::try_from(size).ok()?;
    let index = usize::try_from(number.rem_euclid(size)).ok()?;
    (number >= 0).then_some((number / size, index))
}

#[cfg(test)]
mod tests {
    use super::{Cell, Cells, ITEMS_PIECE};
    use crate::verify::entry::item;

    #[test]
    fn items_have_cells_of_their_own_that_take_little_memory() {
        let mut cells = Cells::default();
        let offset = |array: i64, index| item(((0, 0), array), Some(index)).1;
        for array in 0..3 {
            for index in 0..10_000 {
                let cell = cells.cell(offset(array, index)).unwrap();
                assert_eq!(cell.flags, 0, "no other item has this cell");
                cell.flags = 1;
            }
        }
        cells.cell(offset(1, 20)).unwrap().flags = 2;
        assert_eq!((cells.flags(offset(1, 20)), cells.flags(offset(1, 21))), (2, 1));
        assert_eq!((cells.flags(offset(3, 0)), cells.flags(1)), (0, 0));
        let twos: Vec<_> = cells.iter().filter(|(_, cell)| cell.flags == 2).collect();
        assert_eq!(twos.iter().map(|(found, _)| *found).collect::<Vec<_>>(), [offset(1, 20)]);
        assert_eq!(cells.iter().count(), 30_000);
        let bytes = cells.items.len() * (16 + size_of::<[Cell; ITEMS_PIECE]>());
        assert!(bytes < 30_000 * 4 && cells.pieces.is_empty(), "{bytes} bytes");
        // A single report in an array is what gateways send most.
        cells.cell(offset(9, 0)).unwrap().flags = 1;
        assert_eq!(cells.items.len(), 3 * 625 + 1);
    }
}
