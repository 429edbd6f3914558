//! How a request says its file is cut.
//!
//! Numbers are read here, and here alone a chunk number becomes an offset: see [`place`].

use super::{
    fields::{Field, FlowFields},
    rejection::{Rejection, quote},
};
use crate::upload::{ByteRange, InvalidPlan, Plan};

/// Turns a chunk number into a place in the file.
///
/// This is the only place where the client's count, from 1, becomes an offset: chunk `n` begins at
/// `(n − 1) · flowChunkSize`, in whichever order chunks come and however the last one is cut.
pub(super) fn place(plan: Plan, number: u64) -> Result<(u64, ByteRange), Rejection> {
    let index = number.checked_sub(1).ok_or_else(|| no_such_chunk(number))?;
    let range = plan.piece(index).ok_or_else(|| no_such_chunk(number))?;
    Ok((index, range))
}

/// There is no chunk with this number.
pub(super) fn no_such_chunk(number: u64) -> Rejection {
    Field::ChunkNumber.invalid(format!("cannot be {number}: it must be 1 to `flowTotalChunks`"))
}

/// There is no such geometry.
pub(super) fn invalid_plan(error: InvalidPlan) -> Rejection {
    match error {
        InvalidPlan::NoStride => Field::ChunkSize.invalid("must be at least 1 byte"),
        InvalidPlan::WrongCount { count, stride, total, floor, ceil } => Field::TotalChunks
            .invalid(format!(
                "cannot be {count}: {total} bytes in chunks of {stride} bytes are {floor} chunks, \
                 or {ceil} with forceChunkSize"
            )),
        InvalidPlan::TooManyPieces { .. } => {
            Field::TotalChunks.invalid("is too large: use larger chunks")
        }
        InvalidPlan::TooLarge { .. } => too_large(),
    }
}

impl FlowFields {
    /// How the file is cut, if enough is said to know.
    pub(super) fn plan(&self) -> Result<Option<Plan>, Rejection> {
        let (Some(total), Some(count)) = (self.total()?, self.count()?) else { return Ok(None) };
        if count == 1 {
            return self.lone_plan(total).map(Some);
        }
        let Some(stride) = self.integer(Field::ChunkSize)? else { return Ok(None) };
        Plan::new(total, stride, count).map(Some).map_err(invalid_plan)
    }

    /// The plan of a file in one chunk.
    pub(super) fn lone_plan(&self, total: u64) -> Result<Plan, Rejection> {
        Plan::new(total, self.lone_stride().unwrap_or(total), 1).map_err(invalid_plan)
    }

    /// The chunk size of a file in one chunk, where it means nothing: flow.js sends `Infinity`,
    /// `333.3333333333333` or `1.7976931348623157e+308` as it was configured. A number still takes
    /// part in the identity; anything else does not.
    pub(super) fn lone_stride(&self) -> Option<u64> {
        // A catalog stores sizes as signed numbers.
        let storable = |stride: &u64| i64::try_from(*stride).is_ok();
        self.get(Field::ChunkSize).and_then(decimal).filter(storable)
    }

    /// The chunk number as the client counts: from 1.
    pub(super) fn number(&self) -> Result<Option<u64>, Rejection> {
        match self.integer(Field::ChunkNumber)? {
            Some(0) => Err(Field::ChunkNumber.invalid("counts from 1, so it cannot be 0")),
            number => Ok(number),
        }
    }

    /// The index (from 0) of the chunk from which a lookup lists what is missing.
    pub(super) fn first_index(&self) -> Result<u64, Rejection> {
        match self.integer(Field::FromChunk)? {
            Some(0) => Err(Field::FromChunk.invalid("counts from 1, so it cannot be 0")),
            number => Ok(number.map_or(0, |number| number - 1)),
        }
    }

    /// How many chunks there are: at least one.
    pub(super) fn count(&self) -> Result<Option<u64>, Rejection> {
        match self.integer(Field::TotalChunks)? {
            Some(0) => Err(Field::TotalChunks.invalid("must be at least 1: an empty file has one")),
            count => Ok(count),
        }
    }

    /// The size of the file.
    pub(super) fn total(&self) -> Result<Option<u64>, Rejection> {
        match self.get(Field::TotalSize) {
            Some(text) if is_decimal(text) && decimal(text).is_none() => Err(too_large()),
            _ => self.integer(Field::TotalSize),
        }
    }

    /// The value of a field that must be an integer if it is there.
    pub(super) fn integer(&self, field: Field) -> Result<Option<u64>, Rejection> {
        let Some(text) = self.get(field) else { return Ok(None) };
        let wrong = || {
            let rule = if is_decimal(text) {
                format!("may be at most {}", u64::MAX)
            } else {
                "must be a whole number in plain decimal digits".to_owned()
            };
            field.invalid(format!("{rule}, not {}", quote(text)))
        };
        decimal(text).map(Some).ok_or_else(wrong)
    }
}

fn too_large() -> Rejection {
    Rejection::too_large("no file can be as long as `flowTotalSize` says")
}

/// Plain decimal digits, as JavaScript prints every integer below 1e21: no sign, no space, no
/// exponent, no other script. Nothing if it is too large to count with.
pub(super) fn decimal(text: &str) -> Option<u64> {
    if is_decimal(text) { text.parse().ok() } else { None }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_digits_are_an_integer() {
        for (text, number) in
            [("0", Some(0)), ("007", Some(7)), ("18446744073709551615", Some(u64::MAX))]
        {
            assert_eq!(decimal(text), number, "{text}");
        }
        for text in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "1_0",
            "١",
            "NaN",
            "18446744073709551616",
        ] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
