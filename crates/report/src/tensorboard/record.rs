//! One record of an event file: TFRecord's frame around TensorBoard's `Event` message.
//!
//! The frame is <https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>;
//! the message is `tensorboard/compat/proto/event.proto` and `summary.proto`, in the encoding of
//! <https://protobuf.dev/programming-guides/encoding/>. Only what scalars need is written.

/// What an event tells.
pub(super) enum Told<'a> {
    /// Which version of the format follows: the first event of a file.
    Version,
    /// A run went on here: what other files say of this step and of later ones holds no more.
    Start,
    /// Numbers by tag.
    Scalars(&'a [(String, f64)]),
}

/// Numbers of protobuf's wire types.
const VARINT: u64 = 0;
const DOUBLE: u64 = 1;
const BYTES: u64 = 2;
const FLOAT: u64 = 5;

/// The bytes of an event at a time in seconds since 1970, of a step.
pub(super) fn record(wall_time: f64, step: u64, told: &Told<'_>) -> Vec<u8> {
    framed(&event(wall_time, step, told))
}

/// `length: u64, masked crc of length: u32, data, masked crc of data: u32`, all little-endian.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let parts = [
        &length[..],
        &masked(crc32c(&length)).to_le_bytes(),
        data,
        &masked(crc32c(data)).to_le_bytes(),
    ];
    parts.concat()
}

/// `Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
/// SessionLog session_log = 7 }`.
fn event(wall_time: f64, step: u64, told: &Told<'_>) -> Vec<u8> {
    let mut event = key(1, DOUBLE);
    event.extend(wall_time.to_le_bytes());
    // A number that is 0 is not written.
    if step > 0 {
        event.extend([key(2, VARINT), varint(step)].concat());
    }
    event.extend(match told {
        Told::Version => bytes(3, b"brain.Event:2"),
        Told::Scalars(scalars) => bytes(5, &summary(scalars)),
        // `SessionLog { SessionStatus status = 1 }`, and START is 1.
        Told::Start => bytes(7, &[key(1, VARINT), varint(1)].concat()),
    });
    event
}

/// `Summary { repeated Value value = 1 }`, `Value { string tag = 1; float simple_value = 2 }`.
fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let value = |(tag, number): &(String, f64)| {
        let number = (*number as f32).to_le_bytes().to_vec();
        let value = [bytes(1, tag.as_bytes()), key(2, FLOAT), number];
        bytes(1, &value.concat())
    };
    scalars.iter().flat_map(value).collect()
}

fn key(field: u64, wire_type: u64) -> Vec<u8> {
    varint(field << 3 | wire_type)
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let length = varint(content.len() as u64);
    [&key(field, BYTES), &length, content].concat()
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut number: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while number >= 0x80 {
        all.push(number as u8 | 0x80);
        number >>= 7;
    }
    all.push(number as u8);
    all
}

/// Castagnoli's CRC-32 (RFC 3720, appendix B.4), bit by bit: a step's event has few kilobytes.
fn crc32c(data: &[u8]) -> u32 {
    let polynomial = 0x82f6_3b78;
    let with_bit = |crc: u32, _| (crc >> 1) ^ (polynomial * (crc & 1));
    let with_byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), with_bit);
    !data.iter().fold(u32::MAX, with_byte)
}

/// TFRecord's mask, since the CRC of what holds CRCs is weak.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, appendix B.4, and the check value of the polynomial.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_are_tensorboards_own_byte_for_byte() {
        let golden = include_bytes!("../../../../fixtures/tensorboard/golden.tfevents");
        let scalars = [("rollout/reward", 0.125), ("loss/kl", 0.0), ("é", -3e38)];
        let scalars = scalars.map(|(tag, number)| (tag.to_owned(), number));
        let records = [
            record(1.5, 0, &Told::Version),
            record(2.5, 300, &Told::Start),
            record(1e9 + 0.25, 300, &Told::Scalars(&scalars)),
            record(3.5, 0, &Told::Scalars(&[])),
        ];
        assert_eq!(records.concat(), golden);
    }
}
