//! Numbers as items: Python objects to bytes and back, without NumPy and without allocating.

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt};

/// A kind of number, by NumPy's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// `?`
    Bool,
    /// `u1`, `u2`, `u4`, `u8`, by size in bytes.
    Unsigned(u8),
    /// `i1`, `i2`, `i4`, `i8`.
    Signed(u8),
    /// `f4`.
    F4,
    /// `f8`.
    F8,
}

impl Number {
    /// The kind that `spec` names.
    pub fn from_spec(spec: &str) -> Option<Number> {
        Some(match spec {
            "?" => Number::Bool,
            "u1" => Number::Unsigned(1),
            "u2" => Number::Unsigned(2),
            "u4" => Number::Unsigned(4),
            "u8" => Number::Unsigned(8),
            "i1" => Number::Signed(1),
            "i2" => Number::Signed(2),
            "i4" => Number::Signed(4),
            "i8" => Number::Signed(8),
            "f4" => Number::F4,
            "f8" => Number::F8,
            _ => return None,
        })
    }

    /// Size of an item in bytes.
    #[inline]
    pub fn size(self) -> usize {
        match self {
            Number::Bool => 1,
            Number::Unsigned(size) | Number::Signed(size) => size.into(),
            Number::F4 => 4,
            Number::F8 => 8,
        }
    }

    /// The item's bytes, little-endian, in the first `size()` of eight.
    #[inline(always)]
    pub fn encode(self, item: &Bound<'_, PyAny>) -> PyResult<[u8; 8]> {
        match self {
            // As signed, of which all of them are: taken without looking at the object's type first.
            Number::Unsigned(size) if size < 8 => match item.extract::<i64>() {
                Ok(value) if (0..1 << (8 * u32::from(size))).contains(&value) => Ok(value.to_le_bytes()),
                _ => Err(self.does_not_fit(item)),
            },
            Number::Unsigned(_) => item.extract().map(u64::to_le_bytes).map_err(|_| self.does_not_fit(item)),
            Number::Signed(size) => {
                let max = i64::MAX >> (64 - 8 * u32::from(size));
                match item.extract::<i64>() {
                    Ok(value) if (-max - 1..=max).contains(&value) => Ok(value.to_le_bytes()),
                    _ => Err(self.does_not_fit(item)),
                }
            }
            Number::F8 => item.extract::<f64>().map(f64::to_le_bytes),
            Number::F4 => self.encode_f4(item),
            Number::Bool => item.extract::<bool>().map(|value| u64::from(value).to_le_bytes()),
        }
    }

    fn encode_f4(self, item: &Bound<'_, PyAny>) -> PyResult<[u8; 8]> {
        let wide = item.extract::<f64>()?;
        #[allow(clippy::cast_possible_truncation, reason = "checked just below")]
        let narrow = wide as f32;
        if narrow.is_infinite() && wide.is_finite() {
            return Err(self.does_not_fit(item));
        }
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&narrow.to_le_bytes());
        Ok(bytes)
    }

    /// The error for an item that is no such number.
    #[cold]
    #[inline(never)]
    fn does_not_fit(self, item: &Bound<'_, PyAny>) -> PyErr {
        let range = self.range();
        let is_integer = item.is_instance_of::<PyInt>()
            || item.hasattr("__index__").unwrap_or(false)
            || item.is_instance_of::<PyFloat>() && self == Number::F4;
        if !is_integer {
            let kind = item.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            return PyTypeError::new_err(format!("item is of type {kind}; {range} takes integers"));
        }
        let shown = item.repr().map_or_else(|_| "?".to_owned(), |repr| repr.to_string().chars().take(80).collect());
        PyOverflowError::new_err(format!("item {shown} does not fit {range}"))
    }

    /// Its name and range, as messages show them.
    fn range(self) -> String {
        match self {
            Number::Unsigned(size) => format!("'u{size}' (0 to {})", u64::MAX >> (64 - 8 * u32::from(size))),
            Number::Signed(size) => {
                let max = i64::MAX >> (64 - 8 * u32::from(size));
                format!("'i{size}' ({} to {max})", -max - 1)
            }
            Number::F4 => "'f4' (about -3.4e38 to 3.4e38)".to_owned(),
            Number::F8 => "'f8'".to_owned(),
            Number::Bool => "'?'".to_owned(),
        }
    }

    /// The object that `bytes` stand for; there are `size()` of them.
    #[inline]
    pub fn decode<'py>(self, py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyAny> {
        let mut word = [0; 8];
        let len = bytes.len().min(8);
        word[..len].copy_from_slice(&bytes[..len]);
        self.of_word(py, word)
    }

    /// The object that the first `size()` of eight bytes stand for; the others are zero.
    #[inline]
    pub fn of_word<'py>(self, py: Python<'py>, word: [u8; 8]) -> Bound<'py, PyAny> {
        let unsigned = u64::from_le_bytes(word);
        match self {
            Number::Unsigned(_) => int(PyInt::new(py, unsigned)),
            Number::Signed(size) => {
                let unused = 64 - 8 * u32::from(size);
                #[allow(clippy::cast_possible_wrap, reason = "the bits are a signed number's")]
                int(PyInt::new(py, ((unsigned << unused) as i64) >> unused))
            }
            Number::F8 => PyFloat::new(py, f64::from_bits(unsigned)).into_any(),
            Number::F4 => {
                let [a, b, c, d, ..] = word;
                PyFloat::new(py, f32::from_le_bytes([a, b, c, d]).into()).into_any()
            }
            Number::Bool => PyBool::new(py, unsigned != 0).to_owned().into_any(),
        }
    }
}

fn int(number: Bound<'_, PyInt>) -> Bound<'_, PyAny> {
    number.into_any()
}
