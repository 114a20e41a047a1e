/** A zip of files as they are, without compression: images have theirs. Names are UTF-8, dates are left out. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return ~value >>> 0;
}

/** Little-endian numbers as bytes: [size in bytes, value]. */
function packed(...fields) {
  const bytes = new DataView(new ArrayBuffer(fields.reduce((sum, [size]) => sum + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) bytes.setUint16(at, value, true);
    else bytes.setUint32(at, value, true);
    at += size;
  }
  return bytes.buffer;
}

const UTF8 = 0x0800; // flag: the name's encoding
const FIRST_DAY = 0x21; // 1980-01-01, the first that a zip can tell: the same files give the same zip

/**
 * A Blob that refers to the files' own bytes; only one file at a time is read, for its checksum. `files`:
 * [{name, blob}], together below 4 GB and 65,536 files.
 */
export async function zip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const { name, blob } of files) {
    const title = new TextEncoder().encode(name);
    const sum = checksum(new Uint8Array(await blob.arrayBuffer()));
    // Version 2.0, flags, stored, time, date, checksum, both sizes, the name's, no extra field.
    const facts = [[2, 20], [2, UTF8], [2, 0], [2, 0], [2, FIRST_DAY], [4, sum], [4, blob.size], [4, blob.size], [2, title.length], [2, 0]];
    const header = packed([4, 0x04034b50], ...facts);
    parts.push(header, title, blob);
    // No comment, disk 0, no attributes.
    directory.push(packed([4, 0x02014b50], [2, 20], ...facts, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), title);
    offset += header.byteLength + title.length + blob.size;
  }
  const size = directory.reduce((sum, part) => sum + part.byteLength, 0);
  const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}
