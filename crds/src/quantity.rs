//! Kubernetes quantities: `512Mi`, `2`, `0.5`, `250m`, `1e9`. Kept as written, parsed when asked.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

/// An amount of CPU, memory or storage, as text in Kubernetes' notation. A number in the input is accepted as well.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Quantity(pub String);

/// A quantity that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not in the notation of quantities.
    #[error(
        "{0:?} is not a quantity; write a number with an optional unit, for example 512Mi, 2Gi, 0.5 or 250m"
    )]
    Malformed(String),
    /// Below zero, where nothing below zero makes sense.
    #[error("{0:?} is negative; write an amount of zero or more")]
    Negative(String),
    /// Thousandths and less of a byte: Docker's word for mebibytes, most of the time.
    #[error("{0:?} is a fraction of a byte, for the unit {1} divides; did you mean {2}?")]
    Fraction(String, char, String),
    /// Less than any process or volume can do with.
    #[error("{0:?} is less than 4Mi, with which nothing starts; did you mean {1}?")]
    TooSmall(String, String),
    /// More than 2^63-1.
    #[error("{0:?} is too large; the largest amount is 2^63-1")]
    TooLarge(String),
}

/// The largest amount that Kubernetes can represent.
const MAX: u128 = i64::MAX as u128;

impl Quantity {
    /// The amount in whole units (bytes, for memory and storage), rounded up as Kubernetes does.
    pub fn bytes(&self) -> Result<u64, QuantityError> {
        self.scaled(1)
    }

    /// The amount in bytes where it is memory or room on a disk: what is a slip of the pen there is none elsewhere.
    pub fn capacity(&self) -> Result<u64, QuantityError> {
        const LEAST: u64 = 4 << 20;
        let bytes = self.bytes()?;
        let text = self.0.trim_start_matches('+');
        let number = text.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '.');
        let meant = |unit: &str| format!("{number}{unit}");
        match text[number.len()..].chars().next() {
            Some(unit @ ('m' | 'u' | 'n')) => {
                Err(QuantityError::Fraction(self.0.clone(), unit, meant("Mi")))
            }
            _ if bytes < LEAST => {
                let likely = ["Mi", "Gi"].map(|unit| Self(meant(unit)));
                let likely = likely
                    .into_iter()
                    .find(|q| q.bytes().is_ok_and(|bytes| bytes >= LEAST));
                let likely = likely.unwrap_or_else(|| Self("4Mi".to_owned()));
                Err(QuantityError::TooSmall(self.0.clone(), likely.0))
            }
            _ => Ok(bytes),
        }
    }

    /// The amount in thousandths (milli-CPUs, for CPU), rounded up as Kubernetes does.
    pub fn milli_cpus(&self) -> Result<u64, QuantityError> {
        self.scaled(1000)
    }

    /// Bytes as people write them: in the largest binary unit that says it without a fraction.
    pub fn of_bytes(bytes: u64) -> Self {
        let units = [
            ("Ei", 60),
            ("Pi", 50),
            ("Ti", 40),
            ("Gi", 30),
            ("Mi", 20),
            ("Ki", 10),
        ];
        let fitting = units
            .into_iter()
            .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
        Self(match fitting {
            Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
            None => bytes.to_string(),
        })
    }

    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `value * scale`, rounded up, in integers throughout: no amount is ever a float here.
    fn scaled(&self, scale: u128) -> Result<u64, QuantityError> {
        let malformed = || QuantityError::Malformed(self.0.clone());
        let too_large = || QuantityError::TooLarge(self.0.clone());
        let text = self.0.as_str();
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let number_len = unsigned
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, suffix) = unsigned.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(malformed());
        }
        let unit = Unit::parse(suffix).ok_or_else(malformed)?;

        // digits * 10^-fraction.len() * unit * scale
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Ok(0);
        }
        if negative {
            return Err(QuantityError::Negative(self.0.clone()));
        }
        let mut value: u128 = digits.parse().map_err(|_| too_large())?;
        let mut tens = -i32::try_from(fraction.len()).map_err(|_| malformed())?;
        match unit {
            Unit::Binary(shift) => value = value.checked_mul(1 << shift).ok_or_else(too_large)?,
            Unit::Decimal(exponent) => tens = tens.saturating_add(exponent),
        }
        value = value.checked_mul(scale).ok_or_else(too_large)?;
        while tens > 0 {
            value = value.checked_mul(10).ok_or_else(too_large)?;
            tens -= 1;
        }
        if tens < 0 {
            // 10^39 and above exceeds the type, and the value with it: what is left rounds up to one.
            value = match 10u128.checked_pow(tens.unsigned_abs()) {
                Some(divisor) => value.div_ceil(divisor),
                None => 1,
            };
        }
        match u64::try_from(value) {
            Ok(amount) if value <= MAX => Ok(amount),
            _ => Err(too_large()),
        }
    }
}

/// What the letters after the number mean.
enum Unit {
    /// A power of two.
    Binary(u32),
    /// A power of ten.
    Decimal(i32),
}

impl Unit {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "Ki" => Self::Binary(10),
            "Mi" => Self::Binary(20),
            "Gi" => Self::Binary(30),
            "Ti" => Self::Binary(40),
            "Pi" => Self::Binary(50),
            "Ei" => Self::Binary(60),
            "n" => Self::Decimal(-9),
            "u" => Self::Decimal(-6),
            "m" => Self::Decimal(-3),
            "" => Self::Decimal(0),
            "k" => Self::Decimal(3),
            "M" => Self::Decimal(6),
            "G" => Self::Decimal(9),
            "T" => Self::Decimal(12),
            "P" => Self::Decimal(15),
            "E" => Self::Decimal(18),
            _ => {
                let exponent = suffix.strip_prefix(['e', 'E'])?;
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                    return None;
                }
                Self::Decimal(exponent.parse().ok()?)
            }
        })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Quantity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Quantity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity: a number, or text such as 512Mi or 250m")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Quantity, E> {
                Ok(Quantity(v.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Quantity, E> {
                Ok(Quantity(v.to_string()))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Quantity, E> {
                Ok(Quantity(v.to_string()))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Quantity, E> {
                Ok(Quantity(v.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The notation as far as people write it, as the API server checks it on text.
const PATTERN: &str = r"^[0-9]*[.]?[0-9]+([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "pattern": PATTERN,
            "x-kubernetes-int-or-string": true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Result<u64, QuantityError> {
        Quantity::from(text).bytes()
    }

    fn milli(text: &str) -> Result<u64, QuantityError> {
        Quantity::from(text).milli_cpus()
    }

    #[test]
    fn every_unit() {
        for (text, amount) in [
            ("0", 0),
            ("-0", 0),
            ("1", 1),
            ("+1", 1),
            ("1k", 1000),
            ("1M", 1_000_000),
            ("1G", 1_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1P", 1_000_000_000_000_000),
            ("1E", 1_000_000_000_000_000_000),
            ("1Ki", 1 << 10),
            ("1Mi", 1 << 20),
            ("2Gi", 2 << 30),
            ("1Ti", 1 << 40),
            ("1Pi", 1 << 50),
            ("7Ei", 7 << 60),
            ("1.5Gi", 3 << 29),
            (".5Ki", 512),
            ("5.", 5),
            ("1e3", 1000),
            ("1E3", 1000),
            ("12e-1", 2),
            ("1.25e+2", 125),
            ("9223372036854775807", i64::MAX as u64),
        ] {
            assert_eq!(bytes(text), Ok(amount), "{text}");
        }
    }

    #[test]
    fn bytes_as_people_write_them() {
        for text in ["0", "1", "1023", "1Ki", "1536Mi", "10Gi", "1Ti", "7Ei"] {
            let bytes = bytes(text).expect("a quantity");
            assert_eq!(Quantity::of_bytes(bytes).as_str(), text);
        }
    }

    #[test]
    fn parts_of_a_unit_round_up() {
        for (text, amount) in [("1m", 1), ("1n", 1), ("1500m", 2), ("0.1", 1), ("1e-99", 1)] {
            assert_eq!(bytes(text), Ok(amount), "{text}");
        }
        assert_eq!(milli("100u"), Ok(1));
        assert_eq!(milli("0.0011"), Ok(2));
    }

    #[test]
    fn memory_and_room_on_disks() {
        for (text, meant) in [
            ("512m", "512Mi"),
            ("0.5m", "0.5Mi"),
            ("4096u", "4096Mi"),
            ("1n", "1Mi"),
            ("9000000000m", "9000000000Mi"),
        ] {
            let error = Quantity::from(text).capacity().expect_err(text);
            assert!(
                error
                    .to_string()
                    .ends_with(&format!("did you mean {meant}?")),
                "{error}"
            );
        }
        for (text, meant) in [
            ("512", "512Mi"),
            ("512k", "512Mi"),
            ("2", "2Gi"),
            ("0.5Ki", "0.5Gi"),
            ("4095Ki", "4095Mi"),
            ("0", "4Mi"),
            ("1e3", "4Mi"),
        ] {
            let error = Quantity::from(text).capacity();
            let expected = QuantityError::TooSmall(text.into(), meant.into());
            assert_eq!(error, Err(expected), "{text}");
        }
        for text in ["4Mi", "512Mi", "1G", "4194304", "1e9", "+8Mi", "4096Ki"] {
            assert_eq!(Quantity::from(text).capacity(), bytes(text), "{text}");
        }
        let wrong = QuantityError::Malformed("1gi".into());
        assert_eq!(Quantity::from("1gi").capacity(), Err(wrong));
    }

    #[test]
    fn processors() {
        for (text, amount) in [
            ("2", 2000),
            ("0.5", 500),
            ("250m", 250),
            ("1.5", 1500),
            ("1k", 1_000_000),
        ] {
            assert_eq!(milli(text), Ok(amount), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity() {
        for text in [
            "",
            " ",
            "Gi",
            ".",
            "1.2.3",
            "1 Gi",
            "1gi",
            "1K",
            "1e",
            "1e+",
            "1e1.5",
            "0x10",
            "--1",
            "1e99999999999",
        ] {
            assert_eq!(
                bytes(text),
                Err(QuantityError::Malformed(text.into())),
                "{text}"
            );
        }
        for text in ["-1", "-1m", "-0.5Gi"] {
            assert_eq!(
                bytes(text),
                Err(QuantityError::Negative(text.into())),
                "{text}"
            );
        }
        for text in [
            "8Ei",
            "10E",
            "9223372036854775808",
            "1e40",
            "1e999",
            "1e2147483647",
        ] {
            assert_eq!(
                bytes(text),
                Err(QuantityError::TooLarge(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_taken_as_text() {
        let read: Vec<Quantity> =
            serde_json::from_str(r#"[2, 0.5, "2Gi", 1000000000000]"#).expect("quantities");
        let text: Vec<_> = read.iter().map(Quantity::as_str).collect();
        assert_eq!(text, ["2", "0.5", "2Gi", "1000000000000"]);
        assert!(serde_json::from_str::<Quantity>("true").is_err());
    }
}
