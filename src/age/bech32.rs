//! Keys as words that notice a slip of the pen (BIP 173).

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const SUM: usize = 6;

fn checksum(prefix: &str, values: &[u8]) -> u32 {
    let prefix = prefix.as_bytes();
    let high = prefix.iter().map(|b| b >> 5);
    let low = prefix.iter().map(|b| b & 31);
    high.chain([0]).chain(low).chain(values.iter().copied()).fold(1, |sum, value| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(next, |sum, (_, polynomial)| sum ^ polynomial)
    })
}

/// From groups of `from` bits to groups of `to`.
fn regroup(values: &[u8], from: u32, to: u32) -> (Vec<u8>, u32, u32) {
    let (mut all, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for value in values {
        held = held << from | u32::from(*value);
        bits += from;
        while bits >= to {
            bits -= to;
            all.push((held >> bits & ((1 << to) - 1)) as u8);
        }
        held &= (1 << bits) - 1;
    }
    (all, held, bits)
}

/// In small letters.
pub fn encode(prefix: &str, bytes: &[u8]) -> String {
    let (mut values, held, bits) = regroup(bytes, 8, 5);
    if bits > 0 {
        values.push((held << (5 - bits)) as u8);
    }
    let padded: Vec<u8> = values.iter().copied().chain([0; SUM]).collect();
    let sum = checksum(prefix, &padded) ^ 1;
    values.extend((0..SUM).map(|n| (sum >> (5 * (SUM - 1 - n)) & 31) as u8));
    let letters = values.iter().map(|v| char::from(LETTERS[usize::from(*v)]));
    format!("{prefix}1{}", letters.collect::<String>())
}

/// What stands before the last `1`, in small letters, and the bytes behind it.
pub fn decode(text: &str) -> Option<(String, Vec<u8>)> {
    let small = text.to_ascii_lowercase();
    if small != text && text.to_ascii_uppercase() != text {
        return None;
    }
    let (prefix, rest) = small.rsplit_once('1')?;
    let place = |byte: u8| LETTERS.iter().position(|l| *l == byte).map(|n| n as u8);
    let values: Vec<u8> = rest.bytes().map(place).collect::<Option<_>>()?;
    let body = values.len().checked_sub(SUM)?;
    if checksum(prefix, &values) != 1 {
        return None;
    }
    let (bytes, held, bits) = regroup(&values[..body], 5, 8);
    (bits < 5 && held == 0).then(|| (prefix.to_string(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_standard_and_slips_in_them() {
        for text in ["a12uel5l", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "A12UEL5L"] {
            let (prefix, bytes) = decode(text).unwrap();
            assert_eq!(encode(&prefix, &bytes), text.to_ascii_lowercase());
        }
        for text in ["", "1", "a1", "a12uel5x", "A12uel5l", "a12uel5", "b12uel5l", "a12uéel5l"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
