//! Amounts as the API server writes them: another notation of the same amount would look like a change for ever. Pure.

/// Thousandths of a core.
pub(super) fn cpu(millicpu: u64) -> String {
    if millicpu.is_multiple_of(1000) {
        (millicpu / 1000).to_string()
    } else {
        format!("{millicpu}m")
    }
}

/// Bytes, with the largest unit that leaves a whole number.
pub(super) fn bytes(bytes: u64) -> String {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];
    if bytes > 0 && bytes.is_multiple_of(1024) {
        largest(bytes, 1024, &BINARY)
    } else {
        largest(bytes, 1000, &DECIMAL)
    }
}

fn largest(amount: u64, step: u64, units: &[&str]) -> String {
    let (mut amount, mut unit) = (amount, "");
    for next in units {
        if amount == 0 || !amount.is_multiple_of(step) {
            break;
        }
        (amount, unit) = (amount / step, next);
    }
    format!("{amount}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_the_api_server_would() {
        for (millicpu, written) in [(0, "0"), (250, "250m"), (1000, "1"), (1500, "1500m")] {
            assert_eq!(cpu(millicpu), written);
        }
        for (amount, written) in [
            (0, "0"),
            (100, "100"),
            (1 << 10, "1Ki"),
            (1536 << 20, "1536Mi"),
            (50 << 30, "50Gi"),
            (500_000_000, "500M"),
            (1_500_000_000, "1500M"),
        ] {
            assert_eq!(bytes(amount), written);
        }
    }
}
