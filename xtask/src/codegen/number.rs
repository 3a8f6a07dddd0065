//! Types of a fixed size, and numbers, as Rust writes them.

use crate::schema::Primitive;

/// The name of the type in Rust, which is also the name of the method that reads or writes it.
pub(super) fn method(number: &Primitive) -> &'static str {
    match number {
        Primitive::Bool => "bool",
        Primitive::Int8 => "i8",
        Primitive::Int16 => "i16",
        Primitive::Uint16 => "u16",
        Primitive::Int32 => "i32",
        Primitive::Uint32 => "u32",
        Primitive::Int64 => "i64",
        Primitive::Float64 => "f64",
        Primitive::Uuid => "uuid",
        Primitive::String | Primitive::Bytes | Primitive::Records | Primitive::Struct(_) => {
            unreachable!("not of a fixed size")
        }
    }
}

pub(super) fn is_integer(kind: &Primitive) -> bool {
    use Primitive::{Int8, Int16, Int32, Int64, Uint16, Uint32};
    matches!(kind, Int8 | Int16 | Int32 | Int64 | Uint16 | Uint32)
}

/// A number as Rust writes it.
pub(super) fn integer(kind: &Primitive, number: &str) -> anyhow::Result<String> {
    let value: i64 = number.parse()?;
    Ok(match (kind, value) {
        (Primitive::Int32, 0x7fff_ffff) => "i32::MAX".to_owned(),
        (Primitive::Int32, -0x8000_0000) => "i32::MIN".to_owned(),
        (Primitive::Int64, i64::MAX) => "i64::MAX".to_owned(),
        _ if value.abs() >= 10_000 => format!("{}_{:03}", value / 1_000, value.abs() % 1_000),
        _ => value.to_string(),
    })
}
