//! What a queue's items are, and how they become bytes and objects again.
//!
//! Numbers, bytes and texts are dealt with here; anything else by a codec, a Python object with `encode`, `decode` and `view`.

use crate::errors;
use crate::memory::{Source, bytes_of_array};
use crate::number::Number;
use penstock_core::queue::Queue as Core;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// A kind of item.
pub enum Kind {
    /// A number of fixed size.
    Number(Number),
    /// Bytes as they are.
    Bytes,
    /// UTF-8.
    Text,
    /// Somebody else's business.
    Coded(Codec),
}

/// The codec's methods, looked up once.
pub struct Codec {
    encode: Py<PyAny>,
    decode: Py<PyAny>,
    view: Py<PyAny>,
}

/// An item as bytes, ready to be put. Holds what owns them.
pub enum Encoded<'py> {
    /// The first so many of eight bytes.
    Number([u8; 8], usize),
    /// A text's UTF-8.
    Text(Bound<'py, PyString>),
    /// One run of bytes.
    One(Source<'py>),
    /// Several runs, to be laid one after the other.
    Many(Vec<Source<'py>>),
}

impl Encoded<'_> {
    /// Calls `act` with the parts.
    #[inline]
    pub fn with<R>(&self, act: impl FnOnce(&[&[u8]]) -> PyResult<R>) -> PyResult<R> {
        match self {
            Encoded::Number(bytes, len) => act(&[&bytes[..*len]]),
            Encoded::Text(text) => act(&[text.to_str()?.as_bytes()]),
            Encoded::One(source) => act(&[source.as_slice()]),
            Encoded::Many(sources) => act(&sources.iter().map(Source::as_slice).collect::<Vec<_>>()),
        }
    }
}

impl Kind {
    /// The kind that the attached queue's `spec` names, with a codec from `codecs` for those not dealt with here.
    pub fn of(queue: &Core, codecs: &Bound<'_, PyAny>) -> PyResult<Kind> {
        let spec = queue.item();
        let size = queue.plan().item_bytes;
        if let Some(number) = Number::from_spec(spec) {
            if number.size() as u64 != size {
                return Err(errors::from_core(
                    codecs.py(),
                    &queue.segment().corrupted(format!("an item '{spec}' of {size} bytes")),
                ));
            }
            return Ok(Kind::Number(number));
        }
        match spec {
            "bytes" => return Ok(Kind::Bytes),
            "str" => return Ok(Kind::Text),
            _ => {}
        }
        let codec = codecs.call1((spec,))?;
        if codec.is_none() {
            return Err(PyValueError::new_err(format!(
                "queue '{}' holds items of kind '{spec}', for which there is no codec",
                queue.name()
            )));
        }
        let method = |name: &str| codec.getattr(name).map(Bound::unbind);
        Ok(Kind::Coded(Codec { encode: method("encode")?, decode: method("decode")?, view: method("view")? }))
    }

    /// The item's bytes. Nothing has happened to the queue yet.
    #[inline]
    pub fn encode<'py>(&self, item: &Bound<'py, PyAny>) -> PyResult<Encoded<'py>> {
        match self {
            Kind::Number(number) => Ok(Encoded::Number(number.encode(item)?, number.size())),
            Kind::Bytes => Source::of(item).map(Encoded::One),
            Kind::Text => item.cast::<PyString>().map(|text| Encoded::Text(text.clone())).map_err(|_| {
                let kind = item.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
                PyTypeError::new_err(format!("item is of type {kind}; this queue takes str"))
            }),
            Kind::Coded(codec) => {
                let parts = codec.encode.bind(item.py()).call1((item,))?;
                match parts.cast::<PyTuple>() {
                    Ok(parts) => parts.iter().map(|part| Source::of(&part)).collect::<PyResult<_>>().map(Encoded::Many),
                    Err(_) => Source::of(&parts).map(Encoded::One),
                }
            }
        }
    }

    /// The object that a copy of the item's bytes stands for.
    #[inline]
    pub fn decode<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Kind::Number(number) => Ok(number.decode(py, bytes)),
            Kind::Bytes => Ok(PyBytes::new(py, bytes).into_any()),
            Kind::Text => text(py, bytes),
            Kind::Coded(codec) => codec.decode.bind(py).call1((PyBytes::new(py, bytes),)),
        }
    }

    /// The object that the bytes in `view` stand for, sharing nothing with them. Only for coded kinds.
    pub fn decode_view<'py>(&self, view: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Kind::Coded(codec) => codec.decode.bind(view.py()).call1((view,)),
            _ => Source::of(view).and_then(|source| self.decode(view.py(), source.as_slice())),
        }
    }

    /// The object in place: what refers to bytes refers to those of `view`.
    pub fn in_place<'py>(&self, view: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Kind::Coded(codec) => codec.view.bind(view.py()).call1((view,)),
            _ => Ok(view.clone()),
        }
    }

    /// The bytes of a whole array of items of exactly this kind of number; `None` if `items` is anything else.
    pub fn array_bytes<'py>(&self, items: &Bound<'py, PyAny>) -> Option<Source<'py>> {
        let Kind::Number(number) = self else { return None };
        match number {
            Number::Unsigned(1) => bytes_of_array::<u8>(items),
            Number::Unsigned(2) => bytes_of_array::<u16>(items),
            Number::Unsigned(4) => bytes_of_array::<u32>(items),
            Number::Unsigned(_) => bytes_of_array::<u64>(items),
            Number::Signed(1) => bytes_of_array::<i8>(items),
            Number::Signed(2) => bytes_of_array::<i16>(items),
            Number::Signed(4) => bytes_of_array::<i32>(items),
            Number::Signed(_) => bytes_of_array::<i64>(items),
            Number::F4 => bytes_of_array::<f32>(items),
            Number::F8 => bytes_of_array::<f64>(items),
            Number::Bool => None,
        }
    }
}

fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text).into_any()),
        Err(error) => Err(errors::raise(
            py,
            "DecodeError",
            (format!("item of {} bytes is not UTF-8: {error}", bytes.len()), PyBytes::new(py, bytes)),
        )),
    }
}
