//! The fields of a keybag: four letters, a length, a value.
//!
//! Invariant: a value lies inside the bytes; nothing is copied or allocated. Knows no tag.

use super::KeybagError;

type Field<'a> = (&'a [u8; 4], &'a [u8]);

/// All fields in order. After one that is cut short there are no more.
pub(super) fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, KeybagError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = split_field(rest);
        rest = field.map_or(&[], |(_, after)| after);
        Some(field.map(|(field, _)| field).ok_or(KeybagError::Cut))
    })
}

fn split_field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    Some(((tag, value), rest))
}
